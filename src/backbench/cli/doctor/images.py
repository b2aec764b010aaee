"""How many images a run would see: as prepare counted them, or as it would if every file were a usable image."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from backbench.cli.doctor.finding import Finding, Verdict, missing_by, ready, warning
from backbench.cli.doctor.plan import Plan
from backbench.config.config_files import read_yaml
from backbench.config.dataset_config import OPTIONAL_KEYS, DatasetConfig
from backbench.data.arrays.dataset import DESCRIPTION, MANIFEST, depth_bits_of, sides_of, split_names
from backbench.data.arrays.file_formats import read_csv, read_json
from backbench.data.arrays.sizes import enlarged, stored_side
from backbench.data.ingest.checks import LEFT_OUT, check, litter
from backbench.data.ingest.groups import Groups, count_groups, folders_below_classes
from backbench.data.ingest.scan import deciding_sides, look_at_headers, presumed
from backbench.data.ingest.split import assign_splits
from backbench.data.ingest.top_folders import listed
from backbench.data.ingest.walk import tracked_folder, walk
from backbench.runtime import paths
from backbench.runtime.errors import BackbenchError, DatasetError

MOST_HEADERS = 2000


@dataclass(frozen=True)
class Images:
    """Images by split, or by fold.

    `sides` is int `(n,)`, the deciding side of each photograph: of all that are prepared, else of up to `MOST_HEADERS`
    whose headers were read. `depth_bits` is as prepare found it, None where it has not run.
    `digest` is None where prepare has not run. `left_out` are classes that are too rare, and folders of litter.
    `groups` is None where images are not grouped; `folders_below` are then those in class folders, with their depth.
    """

    counts: Mapping[str, int]
    num_classes: int
    digest: str | None
    stored_pixels: int
    sides: np.ndarray
    depth_bits: int | None
    left_out: tuple[str, ...] = ()
    groups: Groups | None = None
    folders_below: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{split} {self.counts[split]:,}" for split in self.counts)
        left_out = f"; left out: {listed(self.left_out)}" if self.left_out else ""
        return f"{parts}; {self.num_classes} classes{left_out}"


def look_at_images(config: DatasetConfig, wanted_pixels: int) -> tuple[list[Finding], Images | None]:
    """Find the data set that is prepared, or else the folder that prepare will read; of no image more than its header.

    Args:
        config: The data set.
        wanted_pixels: What the largest backbone of the benchmark takes.
    """
    images = _prepared(config, wanted_pixels)
    if images is not None:
        return [ready("data", f"{config.name} is prepared: {images}"), *_group_findings(config, images)], images
    try:
        folder, origin = _source(tracked_folder(config))
        images = _counted(folder, config, wanted_pixels)
    except BackbenchError as error:
        return list(map(_finding, error.lines)), None
    found = f"{config.name} is not prepared yet; of {folder}{origin}, if every file is a usable image: {images}"
    return [ready("data", found), *_group_findings(config, images)], images


def _group_findings(config: DatasetConfig, images: Images) -> Iterator[Finding]:
    """Say how groups are split, or ask whether there are any: images of one patient or site in two splits flatter."""
    if images.groups is not None:
        advice = "mind it when classes are compared, or add images of other groups"
        finding = warning("groups", str(images.groups), advice)
        yield ready("groups", finding.found) if images.groups.is_close else finding
    elif images.folders_below and config.group is None and config.labels is None:
        (name, depth) = next(iter(images.folders_below.items()))
        yield warning(
            "groups",
            f"{len(images.folders_below):,} folders lie within class folders, such as {name}, and no group is named",
            f"do the images of such a folder belong together, as those of a patient, a site or a video do? Set `group: "
            f"{{folder: {depth}}}` in {config.file}, and none is in two splits; if not, `group: {{alone: true}}`",
        )


def _finding(line: str) -> Finding:
    finding = missing_by("data", DatasetError(line))
    return replace(finding, verdict=Verdict.WARNING) if line.startswith(LEFT_OUT) else finding


def _prepared(config: DatasetConfig, wanted_pixels: int) -> Images | None:
    """Return what prepare wrote, if it was for this configuration as far as its description tells."""
    try:
        described = read_json(paths.DATASET / DESCRIPTION, made_by="prepare")
    except (BackbenchError, ValueError):
        return None
    keys = ("name", "resize", "split_seed", "layout", "skip_folders", "min_per_class")
    if any(described.get(key) != getattr(config, key) for key in keys):
        return None
    if {key: described[key] for key in OPTIONAL_KEYS if key in described} != config.optional_keys:
        return None
    sides = sides_of(described)
    if described["image_size_pixels"] != stored_side(config, wanted_pixels, sides):
        return None
    if config.digest not in (None, described.get("digest")):
        return None
    counts = {split: sum(of.values()) for split, of in described["counts"].items()}
    found = (described["image_size_pixels"], sides, depth_bits_of(described), tuple(described.get("rare_classes", ())))
    groups = Groups(**described["groups"]) if "groups" in described else None
    manifest = paths.DATASET / MANIFEST
    rows = read_csv(manifest, made_by="prepare") if config.group is None and manifest.is_file() else []
    below = folders_below_classes((row["path"], row["label"]) for row in rows)
    return Images(counts, len(described["classes"]), described["digest"], *found, groups, below)


def _source(folder: Path) -> tuple[Path, str]:
    """Return the folder that holds the images now, and how they come to where they are read."""
    if folder.is_dir():
        return folder, ""
    file = Path(f"{folder}.dvc")
    content: dict[str, Any] = read_yaml(file) if file.is_file() else {}
    for dependency in content.get("deps") or ():
        origin = Path(dependency.get("path", ""))
        if origin.is_dir() and not content.get("frozen"):
            return origin, f" (a run copies it to {folder}/)"
    how = "run `dvc pull`, or put them there" if content else "put a folder of class folders there"
    raise DatasetError(f"expected images in {folder}/, found no such folder; {how}")


def _counted(folder: Path, config: DatasetConfig, wanted_pixels: int) -> Images:
    tree = walk(folder, config)
    try:
        kept = check(tree, list(map(presumed, tree.files)), config)
    except DatasetError:
        # What headers show to be no image may have been all that was wrong.
        kept = check(tree, list(look_at_headers(tree.files, config)), config)
    split_of = assign_splits(kept.files, kept.classes, tree.own_splits, config)
    splits = split_names(config.folds)
    counts = {split: list(split_of.values()).count(split) for split in splits}
    drawn = [file for file in tree.files if file.path in split_of]
    headers = look_at_headers(drawn[:: 1 + len(drawn) // MOST_HEADERS], config)
    sides = np.array(deciding_sides(headers, config.resize), dtype=int)
    left_out = (*kept.rare, *litter(tree.left_out))
    found = (stored_side(config, wanted_pixels, sides), sides, config.depth_bits, left_out)
    members = {split: [file for file in kept.files if split_of.get(file.path) == split] for split in splits}
    groups = count_groups(kept, tree, members, config) if tree.grouping else None
    below = folders_below_classes((file.path, file.label) for file in tree.files)
    return Images(counts, len(kept.classes), None, *found, groups, below)


def data_dvc_finding(config: DatasetConfig) -> Finding:
    """Say whether DVC knows the folder: a stage that depends on it runs again when it changes."""
    file = Path(f"{config.path}.dvc")
    if file.is_file():
        return ready("data in DVC", str(file))
    return warning("data in DVC", f"expected {file}, found nothing there", f"run `.venv/bin/dvc add {config.path}`")


def image_size_finding(plan: Plan, images: Images) -> Finding:
    """Say at which side images are stored, and whom that, or the photographs themselves, gives too few pixels."""
    dataset = plan.one.dataset
    found = f"stored at {images.stored_pixels} px by {dataset.resize}"
    if images.digest is None:
        found += f", as far as the headers of {len(images.sides):,} photographs tell"
    seen = {each.name: enlarged(images.sides, images.stored_pixels, each.input_size_pixels) for each in plan.backbones}
    grown = [f"{name}: {each}" for name, each in seen.items() if each.num_enlarged]
    if not grown:
        return ready("image size", f"{found}; no backbone sees an enlarged image")
    advice = "the photographs have no more pixels: mind it when these rows are compared with others"
    if any(images.sides > images.stored_pixels):
        advice = f"set image_size_pixels: null in conf/dataset/{dataset.name}.yaml: the photographs have more pixels"
    return warning("image size", f"{found}; {'; '.join(grown)}", advice)
