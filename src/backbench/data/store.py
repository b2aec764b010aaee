"""Write a prepared data set: every file's verdict, and the pixels of each split, streamed so that memory stays flat."""

import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backbench import artifacts
from backbench.config import DatasetConfig
from backbench.console import progress_bar
from backbench.data.dataset import DESCRIPTION, MANIFEST, SPLITS, images_file, labels_file
from backbench.data.deep import Depth, common_depth
from backbench.data.pixels import PixelRule
from backbench.data.scan import (
    CONFLICTING_LABEL,
    EXACT_DUPLICATE,
    Candidate,
    Examined,
    Tree,
    examine,
    header_sides,
    walk,
    without_duplicates,
)
from backbench.data.sizes import deciding_side, stored_side
from backbench.data.split import assign_splits
from backbench.durable import put_folder_in_place
from backbench.errors import DatasetError

NOT_DRAWN = "not drawn"
NEARLY_CONSTANT = "nearly constant"
MANIFEST_COLUMNS = ("path", "digest", "label", "width", "height", "depth_bits", "split", "position", "verdict", "note")
POOL = "pool.raw"


@dataclass(frozen=True)
class Scanned:
    """Every file with its verdict, sorted by path, the row of each decoded image in the pool file, and their rule.

    `depth` is None where no image is deeper than 8 bits.
    """

    files: list[Examined]
    rows: dict[str, int]
    rule: PixelRule
    depth: Depth | None


def prepare_dataset(config: DatasetConfig, target: Path, wanted_pixels: int | None = None) -> dict[str, Any]:
    """Scan, split and store a folder of images as `target`, which is replaced whole or not at all.

    Args:
        config: Its `path` is the folder to read.
        target: The folder to write: manifest.csv, dataset.json, images and labels of each split.
        wanted_pixels: What the largest backbone takes, where the configuration leaves the size open.

    Returns:
        What dataset.json holds.

    Raises:
        DatasetError: the images cannot be used, or are not those whose digest is pinned.
    """
    tree = walk(Path(config.path))
    with _folder_replacing(target) as folder:
        rule = PixelRule(_side_pixels(config, tree, wanted_pixels), config.resize, config.depth_bits)
        scanned = _scan(tree, config, rule, folder / POOL)
        digest = content_digest(scanned.files)
        _check_digest(digest, config)
        split_of = assign_splits(scanned.files, tree.classes, tree.own_splits, config)
        members = {split: [file for file in scanned.files if split_of.get(file.path) == split] for split in SPLITS}
        _write_splits(members, tree.classes, scanned.rows, rule.side_pixels, folder)
        (folder / POOL).unlink()
        manifest = list(_manifest_rows(scanned, members))
        artifacts.write_csv(folder / MANIFEST, manifest, MANIFEST_COLUMNS)
        description = _description(config, tree, digest, scanned, members, manifest)
        description["sha256"] = _array_digests(folder)
        artifacts.write_json(folder / DESCRIPTION, description)
    return description


def content_digest(files: Sequence[Examined]) -> str:
    """Digest path and file digest of every usable image, drawn or not: SHA-256 over lines, sorted by path."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        if file.is_usable:
            digest.update(f"{file.digest}  {file.path}\n".encode())
    return digest.hexdigest()


@contextmanager
def _folder_replacing(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place on success and vanishes on failure."""
    folder = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        put_folder_in_place(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _side_pixels(config: DatasetConfig, tree: Tree, wanted_pixels: int | None) -> int:
    if config.image_size_pixels is not None:
        return config.image_size_pixels
    if wanted_pixels is None:
        raise ValueError("expected a wanted size where the configuration has none")
    return stored_side(config, wanted_pixels, header_sides(tree.candidates, config))


def _scan(tree: Tree, config: DatasetConfig, rule: PixelRule, pool: Path) -> Scanned:
    """Look at every file once, and again at the deep ones, where only all of them together say how deep they are.

    The squares of usable ones are appended to `pool`, split or not yet.
    """
    files: dict[str, Examined] = {}
    rows: dict[str, int] = {}

    def look(candidates: Sequence[Candidate], rule: PixelRule, what: str) -> None:
        with pool.open("ab") as stream, progress_bar("prepare", len(candidates), what) as advance:
            for file, pixels in examine(candidates, config, rule):
                files[file.path] = file
                if pixels is not None:
                    rows[file.path] = len(rows)
                    stream.write(np.ascontiguousarray(pixels).data)
                advance(1)

    look(tree.candidates, rule, "files")
    usable = [file for file in files.values() if file.is_usable]
    largest = {file.path: file.largest_value for file in usable if file.largest_value is not None}
    depth = common_depth(largest, config.depth_bits, where=f"conf/dataset/{config.name}.yaml")
    if depth is not None and rule.depth_bits is None:
        rule = replace(rule, depth_bits=depth.bits)
        look([each for each in tree.candidates if each.path in largest], rule, "deep images")
    return Scanned(without_duplicates(list(files.values())), rows, rule, depth)


def _check_digest(digest: str, config: DatasetConfig) -> None:
    if config.digest is not None and config.digest != digest:
        where = f"conf/dataset/{config.name}.yaml"
        raise DatasetError(
            f"{config.path}: expected the images whose digest {where} pins, {config.digest}, found {digest};"
            f" bring them back as that file's first lines say, or change its digest"
        )


def _write_splits(
    members: Mapping[str, Sequence[Examined]],
    classes: Sequence[str],
    rows: Mapping[str, int],
    side_pixels: int,
    folder: Path,
) -> None:
    pool = np.memmap(folder / POOL, dtype=np.uint8, mode="r").reshape(-1, side_pixels, side_pixels, 3)
    for split, files in members.items():
        shape = (len(files), side_pixels, side_pixels, 3)
        images = np.lib.format.open_memmap(images_file(folder, split), mode="w+", dtype=np.uint8, shape=shape)
        for position, file in enumerate(files):
            images[position] = pool[rows[file.path]]
        images.flush()
        labels = np.array([classes.index(file.label) for file in files], dtype=np.int32)
        artifacts.write_array(labels_file(folder, split), labels)


def _array_digests(folder: Path) -> dict[str, str]:
    files = [name(folder, split) for split in SPLITS for name in (images_file, labels_file)]
    return {file.name: artifacts.file_sha256(file) for file in files}


def _manifest_rows(scanned: Scanned, members: Mapping[str, Sequence[Examined]]) -> Iterator[dict[str, Any]]:
    places = {file.path: (split, row) for split, drawn in members.items() for row, file in enumerate(drawn)}
    for file in scanned.files:
        split, position = places.get(file.path, ("", ""))
        yield {
            "path": file.path,
            "digest": file.digest,
            "label": file.label,
            "width": file.width,
            "height": file.height,
            "depth_bits": "" if file.largest_value is None else scanned.rule.depth_bits,
            "split": split,
            "position": position,
            "verdict": NOT_DRAWN if file.is_usable and not split else file.verdict,
            "note": NEARLY_CONSTANT if file.is_nearly_constant else "",
        }


def _num_by_side(config: DatasetConfig, members: Mapping[str, Sequence[Examined]]) -> dict[str, int]:
    """Count the images of all splits by the side that became the side of their square, the smallest first."""
    sizes = [(file.width, file.height) for files in members.values() for file in files]
    sides = Counter(deciding_side(width, height, config.resize) for width, height in sizes if width and height)
    return {str(side): sides[side] for side in sorted(sides)}


def _kind(verdict: str) -> str:
    """Name a verdict without the file that it points to."""
    named = {EXACT_DUPLICATE: "exact duplicate", CONFLICTING_LABEL: "conflicting label"}
    return next((kind for start, kind in named.items() if verdict.startswith(start)), verdict)


def _description(
    config: DatasetConfig,
    tree: Tree,
    digest: str,
    scanned: Scanned,
    members: Mapping[str, Sequence[Examined]],
    manifest: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    rejected = Counter(_kind(row["verdict"]) for row in manifest if not row["split"])
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for split, files in members.items():
        labels = Counter(file.label for file in files)
        counts[split] = {name: labels[name] for name in tree.classes}
    return {
        "name": config.name,
        "classes": list(tree.classes),
        "digest": digest,
        "image_size_pixels": scanned.rule.side_pixels,
        "resize": config.resize,
        "sides": _num_by_side(config, members),
        "depth": None if scanned.depth is None else asdict(scanned.depth),
        "num_nearly_constant": sum(bool(row["note"] and row["split"]) for row in manifest),
        "counts": dict(counts),
        "rejected": dict(sorted(rejected.items())),
        "split_seed": config.split_seed,
    }
