"""The study of one cell: what is searched, in which batches, and where its trials are shared."""

import shutil
import uuid
from collections.abc import Callable

from backbench.adaptation.interruption import Pause
from backbench.config.running_config import WorkersConfig
from backbench.config.strategy_config import OUTPUT
from backbench.data.arrays.file_formats import read_json, write_json
from backbench.results.cell_inputs import CellInputs
from backbench.runtime import paths
from backbench.search.coordination import Coordination
from backbench.search.search import Space
from backbench.search.shared_study import SharedStudy
from backbench.search.study_storage import open_storage
from backbench.search.worker import Worker
from backbench.stages.sweep.finished_trials import FinishedTrials

NAME_FILE = "study.json"


class CellStudy:
    """What the one that coordinates a cell's study and all who run its trials agree on."""

    def __init__(self, inputs: CellInputs, workers: WorkersConfig) -> None:
        self._inputs, self._workers = inputs, workers
        strategy = inputs.config.strategy
        ranges = {"learning_rate": strategy.learning_rate, "weight_decay": strategy.weight_decay}
        self.space = Space(ranges, inputs.boundaries)

    @property
    def prunes(self) -> bool:
        """Heads that train as one network gain nothing when one of them stops."""
        return self._inputs.config.search.pruner is not None and not self._trains_heads

    @property
    def batch_size(self) -> int:
        """How many trials one worker takes at once."""
        return self._inputs.config.search.trials_per_batch if self._trains_heads else 1

    @property
    def _trains_heads(self) -> bool:
        return self._inputs.boundaries == (OUTPUT,)

    def open(self, *, creating: bool) -> SharedStudy:
        """Open the storage that all share; `creating` is for the one that coordinates.

        Raises:
            BackbenchError: it cannot be reached, or the study has ended or not begun.
        """
        folder = self._inputs.state_folder("sweep")
        name_file = folder / NAME_FILE
        if creating and not name_file.exists():
            # Not named by its inputs alone: two checkouts may share a database.
            write_json(name_file, {"name": f"{self._inputs.cell}-{uuid.uuid4().hex[:12]}"})
        name = read_json(name_file, made_by=f"sweep@{self._inputs.cell}")["name"]
        return SharedStudy(open_storage(self._workers, folder), name, creating=creating)

    def remove(self, study: SharedStudy) -> None:
        """Delete the study and its state, and what other inputs or code left of this cell: the end is in files."""
        states = self._inputs.state_folder("sweep").parent
        names = [read_json(file, made_by="sweep")["name"] for file in states.glob(f"*/{NAME_FILE}")]
        study.remove(names)
        # A worker that has not left yet may still hold a file there, which a network's file system does not let go.
        shutil.rmtree(states, ignore_errors=True)

    def finished_trials(self, study: SharedStudy) -> FinishedTrials:
        """Open the trials of earlier studies of this cell that this one can take up."""
        folder = paths.STATE / "trials" / str(self._inputs.cell) / self._inputs.fits_name("sweep/cell_trials")
        return FinishedTrials(
            folder, self._inputs.config.search, prunes=self.prunes, batch_size=self.batch_size, computed=study.compute
        )

    def coordination(self, study: SharedStudy) -> Coordination:
        """Take over the study, to be coordinated by this process alone."""
        return Coordination(
            study,
            self.space,
            heartbeat_seconds=self._workers.heartbeat_seconds,
            lost_after_seconds=self._workers.lost_after_seconds,
        )

    def worker(self, study: SharedStudy, is_asked_to_leave: Callable[[], bool]) -> Worker:
        """Make a worker in this process; a fit that is asked to leave keeps its epochs for whoever goes on."""
        # Imported here, so that a process which only coordinates imports no network.
        from backbench.adaptation.training_inputs import TrainingInputs
        from backbench.stages.sweep.cell_trials import CellTrials

        pause = Pause(self._inputs.state_folder("sweep") / "paused", is_asked_to_leave)
        return Worker(
            study,
            self._inputs.config.search,
            self.space,
            CellTrials(TrainingInputs.of(self._inputs.config), pause).run,
            prunes=self.prunes,
            heartbeat_seconds=self._workers.heartbeat_seconds,
        )
