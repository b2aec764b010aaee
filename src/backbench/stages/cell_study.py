"""The study of one cell: what is searched, where its trials are shared, how they run. It sees train and val only."""

import uuid
from collections.abc import Callable, Sequence
from functools import cache

from backbench import artifacts
from backbench.activations import ActivationSource
from backbench.config import OUTPUT, WorkersConfig
from backbench.coordination import Coordination
from backbench.interruption import Pause
from backbench.records import COMPLETE, PRUNED, TrialRecord
from backbench.schedule import Candidate, Fit, Weights
from backbench.search import Proposal, Space, checked
from backbench.shared_study import SharedStudy
from backbench.stages.cell import CellInputs
from backbench.strategies import Adapter
from backbench.study_storage import open_storage
from backbench.worker import ShouldStop, Worker


class CellStudy:
    """What the one that coordinates a cell's study and all who run its trials agree on."""

    def __init__(self, inputs: CellInputs, workers: WorkersConfig) -> None:
        """Gather them.

        Raises:
            ConfigError: such a search cannot be run.
        """
        self._inputs, self._workers = inputs, workers
        checked(inputs.config.search)
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
        name_file = folder / "study.json"
        if creating and not name_file.exists():
            # Not named by its inputs alone: two checkouts may share a database.
            artifacts.write_json(name_file, {"name": f"{self._inputs.cell}-{uuid.uuid4().hex[:12]}"})
        name = artifacts.read_json(name_file, made_by=f"sweep@{self._inputs.cell}")["name"]
        return SharedStudy(open_storage(self._workers, folder, creating=creating), name, creating=creating)

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
        pause = Pause(self._inputs.state_folder("sweep") / "paused", is_asked_to_leave)
        return Worker(
            study,
            self._inputs.config.search,
            self.space,
            CellTrials(self._inputs, pause).run,
            prunes=self.prunes,
            heartbeat_seconds=self._workers.heartbeat_seconds,
        )


class CellTrials:
    """Runs the trials of one cell; a boundary's model and data are made when its first trial comes."""

    def __init__(self, inputs: CellInputs, pause: Pause) -> None:
        self._inputs, self._pause = inputs, pause
        self._seed = inputs.config.search.seed
        self._of_boundary = cache(self._opened)

    def _opened(self, boundary: str) -> tuple[Adapter, ActivationSource, ActivationSource, Weights]:
        train, val = (self._inputs.activations(split, boundary) for split in ("train", "val"))
        adapter = self._inputs.adapter(boundary)
        return adapter, train, val, adapter.initial_values(train, val, seed=self._seed)

    def run(self, proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        """Fit a batch of proposals, those of one boundary together, and return their trials in the same order."""
        fits: dict[int, Fit] = {}
        for boundary in dict.fromkeys(proposal.boundary for proposal in proposals):
            places = [place for place, proposal in enumerate(proposals) if proposal.boundary == boundary]
            adapter, train, val, initial = self._of_boundary(boundary)
            candidates = [
                Candidate(**proposals[place].parameters, seed=self._inputs.config.search.seed) for place in places
            ]
            found = adapter.fit(
                candidates,
                [initial] * len(candidates),
                train,
                val,
                pauses=lambda at: self._pause,
                should_stop=lambda at, history, places=places: should_stop(places[at], history),  # type: ignore[misc]
            )
            fits |= zip(places, found, strict=True)
        return [_trial(proposal, fits[place]) for place, proposal in enumerate(proposals)]


def _trial(proposal: Proposal, fit: Fit) -> TrialRecord:
    return TrialRecord(
        index=proposal.position,
        boundary=proposal.boundary,
        **proposal.parameters,
        val_loss=fit.best.val_loss,
        val_accuracy=fit.best.val_accuracy,
        epochs=len(fit.history),
        state=PRUNED if fit.pruned else COMPLETE,
        history=fit.history,
        reason=fit.reason,
        accumulation_steps=fit.accumulation_steps,
    )
