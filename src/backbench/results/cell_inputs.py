"""What the stages of a cell share: what embed left for it, and the names that follow. No network is imported."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import CellConfig, resolved
from backbench.data.arrays.dataset import Dataset, open_dataset
from backbench.results.records import fingerprint
from backbench.results.store_record import BoundaryRecord, StoreRecord, read_store
from backbench.runtime import paths
from backbench.runtime.errors import BoundaryError
from backbench.runtime.hardware import machine_name
from backbench.runtime.installation import backend, deciding_versions
from backbench.runtime.paths import Cell
from backbench.runtime.source_code import PACKAGE, code_fingerprint, named_modules

STAGES = PACKAGE / "stages"


@dataclass(frozen=True)
class CellInputs:
    """What an earlier stage left for a cell, and the names that follow from it.

    `config` has the size and the depth of the prepared images, also where the configuration leaves them open.
    `cell_key` names the experiment: configuration, data, weights.
    """

    cell: Cell
    config: CellConfig
    dataset: Dataset
    store: StoreRecord

    @classmethod
    def of(cls, config: CellConfig) -> Self:
        """Read what prepare and embed left for a cell.

        Raises:
            ArtifactError: an earlier stage has not run.
        """
        dataset = open_dataset(paths.DATASET)
        found = replace(config, dataset=dataset.decided(config.dataset))
        return cls(config.cell, found, dataset, read_store(config.cell.activations))

    @property
    def digests(self) -> dict[str, str]:
        """Of the data, of the weights' values, and of the file that they came from, where they came from one."""
        digests = {"data": self.dataset.digest, "weights": self.store.weights_digest}
        return digests if self.store.weights_file is None else {**digests, "weights_file": self.store.weights_file}

    @property
    def configuration(self) -> dict[str, Any]:
        """What decides the cell's choice, as plain values; the backend too, whose random numbers are its own."""
        return {**resolved(self.config), "backend": backend()}

    @property
    def cell_key(self) -> str:
        return fingerprint(self.configuration, self.digests)

    def fits_name(self, module: str, fold: int | None = None) -> str:
        """Name all that decides a fit but its candidate: not how candidates are proposed, nor how many there are.

        `module` is the one of the stages that runs the fits, such as `train/final_models`; `fold` the one whose images
        they see, None without folds.
        """
        decides = self.configuration
        search, dataset, strategy = decides.pop("search"), decides.pop("dataset"), decides.pop("strategy")
        del strategy["learning_rate"], strategy["weight_decay"]
        seen = {"augmentation": dataset["augmentation"], "split_seed": dataset["split_seed"]}
        code = code_of(STAGES / f"{module}.py", self.config.backbone)
        computing = (code, deciding_versions(), machine_name())
        return fingerprint(decides, strategy, seen, search["seed"], fold, self._contents, computing)

    @property
    def _contents(self) -> tuple[dict[str, str], dict[str, Any]]:
        """What the earlier stages computed, by digests of the arrays themselves."""
        return dict(self.dataset.sha256), asdict(self.store)

    @property
    def boundaries(self) -> tuple[str, ...]:
        """The layers at which the strategy may freeze this backbone, `output` and `input` among them."""
        return tuple(dict.fromkeys(record.boundary for record in self.store.boundaries))

    def boundary_record(self, boundary: str | None = None) -> BoundaryRecord:
        """Return what embed says of one of `boundaries`; None is the first.

        Raises:
            BoundaryError: it is none of them.
        """
        for record in self.store.boundaries:
            if boundary in (None, record.boundary):
                return record
        raise BoundaryError(
            f"expected a freeze boundary of {self.cell}, one of {', '.join(self.boundaries)}, found {boundary!r}; "
            "use one of them, or change conf/strategy and run embed"
        )


def code_of(module: Path, backbone: BackboneConfig) -> str:
    """Digest what a module does, with the functions of this package that a backbone's configuration names."""
    return code_fingerprint(module, *named_modules(backbone.constructor, backbone.preprocessor))
