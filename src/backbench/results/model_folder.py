"""What lies in a cell's folder of `models/`, so that a model can be built from it and from nothing else.

`model.yaml` says what the model is, `frozen.weights.h5` holds the weights below the freeze boundary, and
`seed-N.weights.h5` those above it, of every final model. Nothing here needs Keras: `compare` reads it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbench.data.arrays.file_formats import read_yaml, write_yaml
from backbench.results.records import record_of, spelt
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import WeightsError

DESCRIPTION, FROZEN = "model.yaml", "frozen.weights.h5"


def seed_file(seed: int) -> str:
    """Name the file of what a final model trained."""
    return f"seed-{seed}.weights.h5"


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """`model.yaml`: how the weights in the folder become a model.

    `boundary` is the freeze boundary as the strategy spells it, since names of layers are not the same in every
    process. `seed` is the final model of the lowest validation loss, and `sha256` the digest of every file of weights.
    `fold` is the one that trained neither on its own images nor on those of the next; None without folds.
    """

    cell: str
    classes: list[str]
    boundary: str
    seed: int
    sha256: dict[str, str]
    configuration: dict[str, Any]
    fold: int | None = None

    @property
    def files(self) -> list[str]:
        """The weights that this model is made of; without a frozen part, what trained is the whole."""
        return [name for name in (FROZEN, seed_file(self.seed)) if name in self.sha256]


def write_description(folder: Path, description: ModelDescription) -> None:
    write_yaml(folder / DESCRIPTION, spelt(description))


def read_description(folder: Path, *, made_by: str) -> ModelDescription:
    """Read what a folder of weights is.

    Raises:
        ArtifactError: the file is missing, or is not of this form.
    """
    path = folder / DESCRIPTION
    return record_of(ModelDescription, read_yaml(path, made_by=made_by), path, f"-f {made_by}")


def digests_of(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each file that is there."""
    return {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}


def verify_weights(folder: Path, description: ModelDescription) -> None:
    """Compare the files that the model is made of with their digests.

    Raises:
        WeightsError: a file is missing or is another one.
    """
    found = digests_of(folder, description.files)
    for name in description.files:
        expected = description.sha256[name]
        if found.get(name) != expected:
            raise WeightsError(
                f"{folder / name}: expected SHA-256 {expected}, found {found.get(name, 'no file')}; "
                f"run `dvc repro -f train@{description.cell}`, or log the model again"
            )
