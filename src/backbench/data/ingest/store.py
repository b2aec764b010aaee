"""Write a prepared data set: every file's verdict, and the pixels of each split, streamed so that memory stays flat."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.dataset import DESCRIPTION, MANIFEST, NEAR_COPY_OF, split_names
from backbench.data.arrays.file_formats import write_csv, write_json
from backbench.data.arrays.sizes import stored_side
from backbench.data.ingest.checks import check, kind, litter
from backbench.data.ingest.copy_sets import PathPair, count_near_copies, with_near_copies
from backbench.data.ingest.decode import ZERO_TO_ONE
from backbench.data.ingest.deep import Depth, common_depth
from backbench.data.ingest.groups import count_groups
from backbench.data.ingest.near_copies import near_pairs
from backbench.data.ingest.pixels import PixelRule
from backbench.data.ingest.scan import deciding_sides, examine, look_at_headers, without_duplicates
from backbench.data.ingest.sketches import SIDE
from backbench.data.ingest.split import Kept, assign_splits, without_rare_classes
from backbench.data.ingest.stored_arrays import write_arrays
from backbench.data.ingest.tree import Examined, ListedFile, Tree
from backbench.data.ingest.walk import walk
from backbench.runtime.atomic_files import put_folder_in_place
from backbench.runtime.console import progress_bar
from backbench.runtime.errors import DatasetError

NOT_DRAWN = "not drawn"
NEARLY_CONSTANT = "nearly constant"
PAGES = "pages"
MANIFEST_COLUMNS = ("path", "digest", "label", "width", "height", "depth_bits", "split", "position", "verdict", "note")
GROUP = "group"  # one more column, of sets with groups alone
POOL = "pool.raw"
SKETCHES = "sketches.raw"


@dataclass(frozen=True)
class Scanned:
    """Every file with its verdict, sorted by path, the row of each decoded image in the pool file, and their rule.

    `depth` is None where no image is deeper than 8 bits, and `floats` where none is of floating-point numbers.
    `near_pairs` are near copies, the closest first.
    """

    files: list[Examined]
    rows: dict[str, int]
    rule: PixelRule
    depth: Depth | None
    floats: dict[str, Any] | None
    near_pairs: list[PathPair]


def prepare_dataset(config: DatasetConfig, target: Path, wanted_pixels: int | None = None) -> dict[str, Any]:
    """Scan, split and store a folder of images as `target`, which is replaced whole or not at all.

    It holds manifest.csv, dataset.json, whose content is returned, and images and labels of each split, or of all folds
    together with the fold of each image.
    `wanted_pixels` is what the largest backbone takes, where the configuration leaves the size open.

    Raises:
        DatasetError: the images cannot be used, or are not those whose digest is pinned.
    """
    tree = walk(Path(config.path), config)
    headers = _checked_headers(tree, config)
    with _folder_replacing(target) as folder:
        side_pixels = stored_side(config, wanted_pixels, deciding_sides(headers, config.resize))
        scanned = _scan(tree, config, PixelRule(side_pixels, config.resize, config.depth_bits), folder)
        digest, kept = _checked(scanned, tree, config)
        split_of = assign_splits(kept.files, kept.classes, tree.own_splits, config)
        splits, are_folds = split_names(config.folds), config.folds is not None
        members = {split: [file for file in kept.files if split_of.get(file.path) == split] for split in splits}
        stored = write_arrays(
            members, kept.classes, _pool(folder, side_pixels), scanned.rows, folder, are_folds=are_folds
        )
        (folder / POOL).unlink()
        listed = [*kept.files, *tree.left_out]
        manifest = list(_manifest_rows(listed, split_of, stored.positions, scanned.rule.depth_bits))
        columns = [*MANIFEST_COLUMNS, *([GROUP] if tree.grouping else [])]
        columns += [NEAR_COPY_OF] if any(row[NEAR_COPY_OF] for row in manifest) else []
        write_csv(folder / MANIFEST, ({column: row[column] for column in columns} for row in manifest), columns)
        description = _description(config, tree, kept, digest, scanned, members, manifest)
        description["sha256"] = stored.sha256
        write_json(folder / DESCRIPTION, description)
    return description


def _checked_headers(tree: Tree, config: DatasetConfig) -> list[Examined]:
    """Judge every file by its header; refuse what names and headers show to be wrong, before an image is decoded."""
    files = []
    with progress_bar("prepare, headers", len(tree.files), "files") as advance:
        for file in look_at_headers(tree.files, config):
            files.append(file)
            advance(1)
    check(tree, files, config)
    return files


def content_digest(files: Sequence[Examined], *, has_labels_apart: bool = False) -> str:
    """Digest path and file digest of every usable image, drawn or not: SHA-256 over lines, sorted by path.

    A path holds the label, and the folder's own split; where these come from a file, they are digested beside it.
    """
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        if file.is_usable:
            apart = [file.label, file.own_split, file.group] if has_labels_apart else []
            digest.update(f"{'  '.join([file.digest, file.path, *apart])}\n".encode())
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


def _scan(tree: Tree, config: DatasetConfig, rule: PixelRule, folder: Path) -> Scanned:
    """Look at every file once, and again at the deep ones, where only all of them together say how deep they are.

    The squares of usable ones are appended to `POOL` in the folder, split or not yet.
    """
    files: dict[str, Examined] = {}
    rows: dict[str, int] = {}

    def look(listed: Sequence[ListedFile], rule: PixelRule, what: str) -> None:
        squares, sketches = (folder / POOL).open("ab"), (folder / SKETCHES).open("ab")
        with squares, sketches, progress_bar("prepare", len(listed), what) as advance:
            for file, seen in examine(listed, config, rule):
                files[file.path] = file
                if file.is_usable and seen.pixels is not None:
                    rows[file.path] = len(rows)
                    squares.write(np.ascontiguousarray(seen.pixels).data)
                    sketches.write(b"" if seen.sketch is None else seen.sketch.tobytes())
                advance(1)

    look(tree.files, rule, "files")
    usable = [file for file in files.values() if file.is_usable]
    largest = {file.path: file.largest_value for file in usable if file.largest_value is not None}
    depth = common_depth(largest, config.depth_bits, where=config.file)
    if depth is not None and rule.depth_bits is None:
        rule = replace(rule, depth_bits=depth.bits)
        look([each for each in tree.files if each.path in largest], rule, "deep images")
    floats = _floats(usable, config)
    judged = without_duplicates(list(files.values()))
    pairs = _near_pairs(judged, rows, folder / SKETCHES)
    (folder / SKETCHES).unlink()
    return Scanned(with_near_copies(judged, pairs) if pairs else judged, rows, rule, depth, floats, pairs)


def _near_pairs(files: Sequence[Examined], rows: Mapping[str, int], sketches: Path) -> list[PathPair]:
    """Find near copies among usable files; none where no sketch was made."""
    if not sketches.stat().st_size:
        return []
    paths = sorted(file.path for file in files if file.is_usable)
    seen = np.memmap(sketches, dtype=np.uint8, mode="r").reshape(-1, SIDE, SIDE)
    found = near_pairs(seen, np.array([rows[path] for path in paths], dtype=int))
    return [(paths[pair.one], paths[pair.other]) for pair in found]


def _checked(scanned: Scanned, tree: Tree, config: DatasetConfig) -> tuple[str, Kept]:
    """Return the digest of what is usable, and what stays of it.

    Raises:
        DatasetError: the digest is not the pinned one, or classes have too few images: all that is wrong.
    """
    left = without_rare_classes(scanned.files, tree.classes, config.min_per_class).files
    digest = content_digest(left, has_labels_apart=tree.has_labels_apart)
    others = []
    if config.digest not in (None, digest):
        others.append(
            f"{config.path}: expected the images whose digest {config.file} pins, {config.digest}, found {digest}; "
            "bring them back as that file's first lines say, or change its digest"
        )
    return digest, check(tree, scanned.files, config, *others)


def _pool(folder: Path, side_pixels: int) -> np.ndarray:
    return np.memmap(folder / POOL, dtype=np.uint8, mode="r").reshape(-1, side_pixels, side_pixels, 3)


def _manifest_rows(
    files: Sequence[Examined], split_of: Mapping[str, str], positions: Mapping[str, int], depth_bits: int | None
) -> Iterator[dict[str, Any]]:
    for file in sorted(files, key=lambda file: file.path):
        split, position = split_of.get(file.path, ""), positions.get(file.path, "")
        yield {
            "path": file.path,
            "digest": file.digest,
            "label": file.label,
            "width": file.width,
            "height": file.height,
            "depth_bits": "" if file.largest_value is None else depth_bits,
            "split": split,
            "position": position,
            "verdict": NOT_DRAWN if file.is_usable and not split else file.verdict,
            "note": "; ".join(_notes(file)),
            GROUP: file.group,
            NEAR_COPY_OF: file.near_copy_of,
        }


def _notes(file: Examined) -> Iterator[str]:
    if file.is_nearly_constant:
        yield NEARLY_CONSTANT
    if file.num_pages > 1:
        yield f"first of {file.num_pages} {PAGES}"


def _floats(files: Sequence[Examined], config: DatasetConfig) -> dict[str, Any] | None:
    """Say of how many images floating-point values were scaled, and from which range; None where there are none.

    Raises:
        DatasetError: a value is out of it.
    """
    ranges = {file.path: file.float_range for file in files if file.is_usable and file.float_range is not None}
    if not ranges:
        return None
    (low, high) = config.float_range or ZERO_TO_ONE
    least, largest = min(found[0] for found in ranges.values()), max(found[1] for found in ranges.values())
    if least < low or largest > high:
        path = next(path for path, found in ranges.items() if found[0] < low or found[1] > high)
        raise DatasetError(
            f"{config.file}: float_range: expected floating-point values of {low:g} to {high:g}, found {least:g} to "
            f"{largest:g}, first in {path}; set `float_range: [{least:g}, {largest:g}]`, or a wider one"
        )
    return {"low": low, "high": high, "num_images": len(ranges)}


def _description(
    config: DatasetConfig,
    tree: Tree,
    kept: Kept,
    digest: str,
    scanned: Scanned,
    members: Mapping[str, Sequence[Examined]],
    manifest: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    rejected = Counter(kind(row["verdict"]) for row in manifest if not row["split"])
    labels = {split: Counter(file.label for file in files) for split, files in members.items()}
    # The side of each photograph that became the side of its square.
    sides = Counter(deciding_sides(chain.from_iterable(members.values()), config.resize))
    description = {
        "name": config.name,
        "classes": list(kept.classes),
        "digest": digest,
        "image_size_pixels": scanned.rule.side_pixels,
        "resize": config.resize,
        "sides": {str(side): sides[side] for side in sorted(sides)},
        "depth": None if scanned.depth is None else asdict(scanned.depth),
        "num_nearly_constant": sum(NEARLY_CONSTANT in row["note"] and bool(row["split"]) for row in manifest),
        "counts": {split: {name: of_split[name] for name in kept.classes} for split, of_split in labels.items()},
        "rejected": dict(sorted(rejected.items())),
        "litter": litter(tree.left_out),
        "rare_classes": kept.rare,
        "layout": config.layout,
        "skip_folders": config.skip_folders,
        "min_per_class": config.min_per_class,
        "split_seed": config.split_seed,
    }
    # What class folders have not is no key of theirs: their description stays as it was.
    if tree.has_labels_apart:
        description["num_repeated_rows"] = tree.num_repeated_rows
    num_pages = sum(PAGES in row["note"] and bool(row["split"]) for row in manifest)
    description |= {"num_with_more_pages": num_pages} if num_pages else {}
    description |= {"floats": scanned.floats} if scanned.floats else {}
    if tree.grouping:
        description["groups"] = asdict(count_groups(kept, tree, members, config))
    split_of = {row["path"]: row["split"] for row in manifest}
    copies = count_near_copies(kept.files, scanned.near_pairs, split_of)
    description |= {"near_copies": asdict(copies)} if copies is not None else {}
    return description | config.optional_keys
