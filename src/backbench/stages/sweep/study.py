"""The study of one cell: its rounds of trials, each proposed by those before, and where finished ones lie."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import OUTPUT
from backbench.results.cell_inputs import CellInputs
from backbench.results.compute import NOTHING, Compute, Stopwatch
from backbench.results.records import EpochRecord, TrialRecord
from backbench.runtime import paths
from backbench.runtime.atomic_files import remove_others
from backbench.runtime.engine.engine import Run
from backbench.runtime.interruption import Interrupted
from backbench.search.search import Proposal, Pruning, Space, batches, proposals, rounds
from backbench.stages.sweep.finished_trials import FinishedTrials

# Told the epochs so far of a trial; true ends it as pruned.
ShouldStop = Callable[[Sequence[EpochRecord]], bool]
# Fits a batch of proposals, and returns their trials in the same order.
Fit = Callable[[Sequence[Proposal], ShouldStop], Sequence[TrialRecord]]


@dataclass(frozen=True)
class Searched:
    """Every trial of a study, by position; how many an earlier study had finished; and what all of them took."""

    trials: list[TrialRecord]
    num_known: int
    compute: Compute


class Study:
    """What the one that proposes trials and all who run them agree on; no network is imported."""

    def __init__(
        self, search: SearchConfig, space: Space, folder: Path, *, trains_heads: bool, fold: int | None = None
    ) -> None:
        """Make a study whose finished trials and checkpoints lie in `folder`; `fold` is the one whose images it sees.

        `trains_heads`: the trials of a batch train at once, as one network, which gains nothing when one of them stops.
        Else trials train one by one, and may be pruned.
        """
        self._search, self.space, self.folder, self._fold = search, space, folder, fold
        self._batch_size = search.trials_per_batch if trains_heads else 1
        self._pruner = None if trains_heads else search.pruner
        self._rounds = rounds(search, prunes=self._pruner is not None)
        self._finished = FinishedTrials(folder, self._pruner)

    def search(self, run: Run, on_trials: Callable[[Sequence[TrialRecord]], None]) -> Searched:
        """Propose round after round, and have what is not known of it run: by tasks `run_batch` of what `run` opens.

        `on_trials` is told of every batch that has ended.
        """
        trials: list[TrialRecord] = []
        num_known, compute = 0, NOTHING
        for positions in self._rounds:
            earlier = tuple(trials)
            found = {each.position: each for each in proposals(self._search, self.space, positions, earlier)}
            proposed = [[found[place] for place in batch] for batch in batches(positions, self._batch_size)]
            known = [self._finished.known(batch, earlier) for batch in proposed]
            tasks = {
                f"{self._title} {batch[0].position}": ("run_batch", batch, earlier, self._fold)
                for batch, records in zip(proposed, known, strict=True)
                if not records
            }
            for records in chain(filter(None, known), (records for _, records in run(tasks))):
                trials += records
                on_trials(records)
            trials.sort(key=lambda trial: trial.index)
            num_known += sum(map(len, known))
            compute = sum((self._finished.compute(batch, earlier) for batch in proposed), compute)
        return Searched(trials, num_known, compute)

    @property
    def _title(self) -> str:
        return "trial" if self._fold is None else f"fold {self._fold}, trial"

    def run_batch(self, fit: Fit, batch: Sequence[Proposal], earlier: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Run a batch and keep it, unless it is known; `earlier` is every trial of the rounds before.

        Raises:
            Interrupted: this process was asked to leave.
        """
        if known := self._finished.known(batch, earlier):
            return known
        stopwatch = Stopwatch()
        try:
            records = list(fit(batch, Pruning(self._pruner, self.space, earlier)))
        except Interrupted:
            self._finished.leave(batch, earlier, stopwatch.lap())
            raise
        self._finished.keep(batch, earlier, records, stopwatch.lap())
        return records


def forget_others(studies: Collection[Study]) -> None:
    """Remove what other data, weights, settings or code left beside the studies of a cell."""
    (root,) = {study.folder.parent for study in studies}
    remove_others(root, [study.folder.name for study in studies])


def study_of(inputs: CellInputs, fold: int | None = None) -> Study:
    """Return the study of a cell, or of one of its folds; other data, weights, settings or code have another folder."""
    strategy = inputs.config.strategy
    ranges = {"learning_rate": strategy.learning_rate, "weight_decay": strategy.weight_decay}
    space = Space(ranges, inputs.boundaries)
    folder = paths.STATE / "trials" / str(inputs.cell) / inputs.fits_name("sweep/cell_trials", fold)
    return Study(inputs.config.search, space, folder, trains_heads=inputs.boundaries == (OUTPUT,), fold=fold)
