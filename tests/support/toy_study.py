"""A study whose trials take no time: their loss falls towards what the learning rate decides, epoch by epoch."""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from backbench.adaptation.checkpoints import HISTORY, Checkpoints
from backbench.config.search_config import PrunerConfig, SearchConfig
from backbench.config.strategy_config import RangeConfig
from backbench.results.records import EpochRecord, TrialRecord
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.interruption import Interrupted
from backbench.search.search import Proposal, Space
from backbench.stages.sweep.study import Fit, Searched, ShouldStop, Study

RANGES = {"learning_rate": RangeConfig(low=1e-4, high=1e-1), "weight_decay": RangeConfig(low=1e-5, high=1e-2)}
SPACE = Space(RANGES, ("output",))
PRUNER = PrunerConfig(percentile=50.0, startup_trials=2, warmup_epochs=1)
QUASI_RANDOM = SearchConfig(
    name="quasi_random",
    sampler="quasi_random",
    num_trials=6,
    startup_trials=6,
    trials_per_batch=1,
    trials_per_round=3,
    seed=0,
)
TPE = SearchConfig(
    name="tpe", sampler="tpe", num_trials=9, startup_trials=4, trials_per_batch=1, trials_per_round=1, seed=0
)
# Those in batches train heads at once.
SEARCHES = {
    "quasi_random": QUASI_RANDOM,
    "quasi_random_in_batches": replace(QUASI_RANDOM, trials_per_batch=4),
    "tpe": TPE,
    "tpe_in_rounds": replace(TPE, trials_per_round=4),
    "tpe_in_batches": replace(TPE, trials_per_round=4, trials_per_batch=2),
    "pruned": replace(TPE, pruner=PRUNER),
    "pruned_in_rounds": replace(QUASI_RANDOM, pruner=PRUNER),
}
NUM_EPOCHS = 5


def run_trial(proposal: Proposal, should_stop: ShouldStop) -> TrialRecord:
    """Fall towards a loss that is least at a learning rate of 0.01, an epoch at a time."""
    end = abs(math.log10(proposal.parameters["learning_rate"]) + 2) + proposal.parameters["weight_decay"]
    history: list[EpochRecord] = []
    pruned = False
    while len(history) < NUM_EPOCHS and not pruned:
        loss = end + 1 / (1 + len(history))
        history.append(EpochRecord(len(history), proposal.parameters["learning_rate"], loss, loss, 0.5))
        pruned = should_stop(history)
    return TrialRecord(
        proposal.position,
        proposal.boundary,
        **proposal.parameters,
        val_loss=history[-1].val_loss,
        val_accuracy=0.5,
        epochs=len(history),
        state="PRUNED" if pruned else "COMPLETE",
        history=tuple(history),
    )


def fit(batch: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
    return [run_trial(proposal, should_stop) for proposal in batch]


@dataclass(frozen=True)
class SlowFit:
    """Fits trials whose epochs take time, and are saved one by one; says in a file which process was at which epoch."""

    folder: Path
    num_epochs: int
    seconds: float

    def __call__(self, batch: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        return [self._fitted(proposal) for proposal in batch]

    def _fitted(self, proposal: Proposal) -> TrialRecord:
        checkpoints, name = Checkpoints(self.folder / "checkpoints"), f"trial {proposal.position}"
        saved = checkpoints.read(name)
        for epoch in range(1 if saved is None else 1 + len(saved[HISTORY]), self.num_epochs + 1):
            self._say("epochs", proposal.position, epoch - 1)
            time.sleep(self.seconds)
            checkpoints.write(name, {HISTORY: np.zeros((epoch, 5))})
            kept = checkpoints.read(name)
            self._say("saved", proposal.position, 0 if kept is None else len(kept[HISTORY]))
            if checkpoints.is_asked() and epoch < self.num_epochs:
                raise Interrupted(f"left after epoch {epoch}")
        self._say("epochs", proposal.position, self.num_epochs)
        return run_trial(proposal, lambda history: False)

    def _say(self, what: str, position: int, num_epochs: int) -> None:
        """Add a line to a file, which the system writes whole."""
        with (self.folder / f"{what}.txt").open("a") as file:
            file.write(f"{os.getpid()} {position} {num_epochs}\n")

    def said(self, what: str = "epochs") -> list[tuple[int, int, int]]:
        """Return, in order, which process at which trial said how many `epochs` are done, or are `saved`."""
        file = self.folder / f"{what}.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(process, position, epoch) for process, position, epoch in (map(int, line.split()) for line in lines)]


@dataclass(frozen=True)
class ToyTrials:
    """What a process opens to run the trials of a toy study."""

    study: Study
    fit: Fit

    def run_batch(
        self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord], fold: int | None
    ) -> list[TrialRecord]:
        return self.study.run_batch(self.fit, batch, earlier)


def toy_study(folder: Path, search: SearchConfig, space: Space = SPACE) -> Study:
    return Study(search, space, folder, trains_heads=search.trials_per_batch > 1)


def searched(
    folder: Path,
    search: SearchConfig,
    objective: Fit = fit,
    *,
    space: Space = SPACE,
    workers: Workers = THIS_PROCESS,
    on_trials: Callable[[Sequence[TrialRecord]], None] = lambda records: None,
) -> Searched:
    """Run a study whose finished trials are kept in a folder, or go on with it."""
    study = toy_study(folder, search, space)
    opening = partial(ToyTrials, study, objective)
    with running("toy study", workers, opening) as run:
        return study.search(run, on_trials)
    raise AssertionError("it was asked to leave")


def many_trials(num_trials: int) -> SearchConfig:
    """As many trials as asked for, of which no one knows of another."""
    return replace(QUASI_RANDOM, num_trials=num_trials)


def search_by_two(place: Path) -> list[TrialRecord]:
    """Run a study of four trials of 40 epochs by two workers, or go on with it, in any process."""
    workers = Workers(name="local", start="{worker}", host="127.0.0.1", num_workers=2)
    fit = SlowFit(place, num_epochs=40, seconds=0.1)
    return searched(place / "many/kept", many_trials(4), fit, workers=workers).trials
