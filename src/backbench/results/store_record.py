"""What the embed stage says of the activations that it stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backbench.data.arrays.file_formats import read_json
from backbench.results.records import record_of

DESCRIPTION = "boundary.json"


@dataclass(frozen=True)
class BoundaryRecord:
    """One freeze boundary of a cell: as the configuration spells it, and the layer that it means for this backbone.

    `stored` says of each split whether its activations are files. `float16_error` is the largest difference that
    rounding to float16 made, as a share of the largest absolute activation; 0 where nothing is rounded.
    """

    name: str
    boundary: str
    num_prefix_parameters: int
    num_suffix_parameters: int
    stored: Mapping[str, bool]
    float16_error: float


@dataclass(frozen=True)
class StoreRecord:
    """What the embed stage says of its activations: `views` as configured, and every boundary.

    `weights_digest` is of the values, `weights_file` the SHA-256 of the file that they came from, None where none did.
    `sha256` is of every stored file, by its path below the cell's folder.
    """

    views: int | str
    weights_digest: str
    weights_file: str | None
    data_digest: str
    sha256: Mapping[str, str]
    boundaries: tuple[BoundaryRecord, ...]


def read_store(folder: Path) -> StoreRecord:
    """Read what the embed stage says of its activations.

    Raises:
        ArtifactError: the embed stage has not run, or its file is not of this form.
    """
    path = folder / DESCRIPTION
    return record_of(StoreRecord, read_json(path, made_by="embed"), path, "embed")
