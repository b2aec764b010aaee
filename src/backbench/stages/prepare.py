"""The prepare stage: a folder of images to arrays by split, with a verdict on every file."""

from typing import Any

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.dataset import MANIFEST
from backbench.data.arrays.file_formats import read_json
from backbench.data.ingest.copy_sets import NearCopies
from backbench.data.ingest.deep import Depth
from backbench.data.ingest.groups import Groups
from backbench.data.ingest.store import NEARLY_CONSTANT, prepare_dataset
from backbench.data.ingest.top_folders import listed
from backbench.data.ingest.walk import tracked_folder
from backbench.runtime import paths


def prepare(config: DatasetConfig) -> str:
    """Write `work/dataset/` and return the line that says what is in it and where to look next.

    Raises:
        ArtifactError: the images' size is left open, and the size stage has not run.
        DatasetError: the images cannot be used, or are not those whose digest is pinned.
    """
    tracked_folder(config)
    wanted = None
    if config.image_size_pixels is None:
        wanted = int(read_json(paths.IMAGE_SIZE, made_by="size")["wanted_pixels"])
    description = prepare_dataset(config, paths.DATASET, wanted)
    return f"{_summary(description)}; {_pixels(description)}; every file's verdict is in {paths.DATASET / MANIFEST}"


def _summary(description: dict[str, Any]) -> str:
    counts = ", ".join(f"{split} {sum(of.values())}" for split, of in description["counts"].items())
    rejected = ", ".join(f"{count} {verdict}" for verdict, count in description["rejected"].items())
    parts = [f"{description['name']}: {len(description['classes'])} classes, {counts}, left out: {rejected or 'none'}"]
    if description.get("num_repeated_rows"):
        parts.append(f"{description['num_repeated_rows']} rows of {description['labels']} say again what another says")
    if description["litter"]:
        parts.append(f"not looked into, as systems leave them: {listed(description['litter'])}")
    if description["rare_classes"]:
        few = [f"{name} ({count})" for name, count in description["rare_classes"].items()]
        parts.append(f"classes with fewer than {description['min_per_class']} usable images, left out: {listed(few)}")
    if "groups" in description:
        parts.append(str(Groups(**description["groups"])))
    if "near_copies" in description:
        parts.append(str(NearCopies(**description["near_copies"])))
    return "; ".join(parts)


def _pixels(description: dict[str, Any]) -> str:
    side = description["image_size_pixels"]
    said = [f"{description['resize']} to {side} x {side} px"]
    if description["depth"] is not None:
        said.append(str(Depth(**description["depth"])))
    if "floats" in description:
        low, high, number = (description["floats"][key] for key in ("low", "high", "num_images"))
        said.append(f"{number} of floating-point values, scaled from {low:g} to {high:g}")
    if "num_with_more_pages" in description:
        said.append(f"{description['num_with_more_pages']} TIFFs with more pages, of which the first is read")
    if description["num_nearly_constant"]:
        said.append(f"{description['num_nearly_constant']} {NEARLY_CONSTANT}, look at them")
    return ", ".join(said)
