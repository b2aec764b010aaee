"""What the sweep and the train stage of a cell share: their inputs and their names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbench import artifacts
from backbench.activations import Activations, read_activations, read_boundary
from backbench.artifacts import Cell
from backbench.backbones.weights import load_backbone
from backbench.config import CellConfig, resolved
from backbench.data.dataset import Dataset, open_dataset
from backbench.determinism import make_deterministic
from backbench.freezing import OUTPUT, CutModel, cut_for
from backbench.strategies import Adapter


@dataclass(frozen=True)
class CellInputs:
    """What an earlier stage left for a cell, and the names that follow from it.

    `cell_key` names the experiment (configuration, data, weights); the state folder's name adds the code.
    """

    cell: Cell
    config: CellConfig
    dataset: Dataset
    boundary: dict[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        return {"data": self.dataset.digest, "weights": str(self.boundary["weights_digest"])}

    @property
    def cell_key(self) -> str:
        return artifacts.fingerprint(resolved(self.config), self.digests)

    def state_folder(self, stage: str, *more: Any) -> Path:
        """Return the folder for what a killed stage needs to go on; other inputs or other code, another folder."""
        name = artifacts.fingerprint(self.cell_key, artifacts.code_fingerprint(), *more)
        return artifacts.STATE / stage / str(self.cell) / name

    @property
    def boundaries(self) -> tuple[str, ...]:
        return (str(self.boundary["boundary"]),)

    def num_prefix_parameters(self, boundary: str) -> int:
        return int(self.boundary["num_prefix_parameters"])

    def activations(self, split: str, boundary: str | None = None) -> Activations:
        return read_activations(self.cell.activations, split, self.dataset.labels[split])

    def adapter(self, boundary_: str | None = None) -> Adapter:
        """Build the model that trains; the backbone itself only where a part of it trains."""
        make_deterministic(self.config.search.seed)
        boundary = str(self.boundary["boundary"])
        if boundary == OUTPUT:
            cut_model = CutModel(OUTPUT, prefix=None, suffix=None)
        else:
            backbone = load_backbone(self.config.backbone, self.config.weights)
            cut_model = cut_for(backbone, self.config.backbone, self.config.strategy)
        return Adapter(cut_model, self.config.backbone, self.config.strategy, num_classes=len(self.dataset.classes))


def cell_inputs(config: CellConfig) -> CellInputs:
    """Read what prepare and embed left for a cell.

    Raises:
        ArtifactError: an earlier stage has not run.
    """
    cell = Cell(config.backbone.name, config.strategy.name)
    return CellInputs(cell, config, open_dataset(artifacts.DATASET), read_boundary(cell.activations))
