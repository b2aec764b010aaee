"""The study of one cell: what is searched, in which rounds and batches, and where finished trials lie."""

from collections.abc import Sequence
from pathlib import Path

from backbench.config.strategy_config import OUTPUT
from backbench.results.cell_inputs import CellInputs
from backbench.results.records import TrialRecord
from backbench.runtime import paths
from backbench.search.search import Proposal, Pruning, Space, batches, proposals, rounds
from backbench.stages.sweep.finished_trials import FinishedTrials


class Study:
    """What the stage that proposes trials and all who run them agree on; no network is imported."""

    def __init__(self, inputs: CellInputs) -> None:
        self._inputs, self._search = inputs, inputs.config.search
        strategy = inputs.config.strategy
        ranges = {"learning_rate": strategy.learning_rate, "weight_decay": strategy.weight_decay}
        self.space = Space(ranges, inputs.boundaries)
        # Heads that train as one network gain nothing when one of them stops.
        self._trains_heads = inputs.boundaries == (OUTPUT,)
        self._pruner = None if self._trains_heads else self._search.pruner
        self.finished = FinishedTrials(self._folder, self._pruner)

    @property
    def rounds(self) -> list[range]:
        """The positions of the trials that are proposed together."""
        return rounds(self._search, prunes=self._pruner is not None)

    @property
    def most_at_once(self) -> int:
        """How many batches of a round there are, which may be run side by side."""
        return max(len(self._batches(positions)) for positions in self.rounds)

    def proposed(self, positions: range, earlier: Sequence[TrialRecord]) -> list[list[Proposal]]:
        """Propose the trials of a round, in the batches in which they train."""
        found = {each.position: each for each in proposals(self._search, self.space, positions, earlier)}
        return [[found[position] for position in batch] for batch in self._batches(positions)]

    def pruning(self, earlier: Sequence[TrialRecord]) -> Pruning:
        """Return what says whether a trial should stop, by those of the rounds before."""
        return Pruning(self._pruner, self.space, earlier)

    @property
    def checkpoints(self) -> Path:
        """The folder of what a trial in training needs to go on."""
        return self._folder / "checkpoints"

    @property
    def _folder(self) -> Path:
        return paths.STATE / "trials" / str(self._inputs.cell) / self._inputs.fits_name("sweep/cell_trials")

    def _batches(self, positions: range) -> list[range]:
        return batches(positions, self._search.trials_per_batch if self._trains_heads else 1)
