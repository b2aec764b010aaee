"""A study whose trials take no time: their loss falls towards what the learning rate decides, epoch by epoch.

Run as a program it is a worker, in a process that needs no network:
`python -m tests.support.toy_study FOLDER STORAGE SECONDS`.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbench.config.running_config import WorkersConfig
from backbench.config.search_config import PrunerConfig, SearchConfig
from backbench.config.strategy_config import RangeConfig
from backbench.results.records import EpochRecord, TrialRecord
from backbench.search.coordination import Coordination
from backbench.search.search import Proposal, Space
from backbench.search.shared_study import SharedStudy
from backbench.search.study_storage import open_storage
from backbench.search.worker import Objective, ShouldStop, Worker

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
SEARCHES = {
    "quasi_random": (QUASI_RANDOM, 1),
    "quasi_random_in_batches": (QUASI_RANDOM, 4),
    "tpe": (TPE, 1),
    "tpe_in_rounds": (replace(TPE, trials_per_round=4), 1),
    "tpe_in_batches": (replace(TPE, trials_per_round=4), 2),
    "pruned": (replace(TPE, pruner=PRUNER), 1),
    "pruned_in_rounds": (replace(QUASI_RANDOM, pruner=PRUNER), 1),
}
NUM_EPOCHS = 5
NAME = "cell"


def run_trial(place: int, proposal: Proposal, should_stop: ShouldStop) -> TrialRecord:
    """Fall towards a loss that is least at a learning rate of 0.01, an epoch at a time."""
    end = abs(math.log10(proposal.parameters["learning_rate"]) + 2) + proposal.parameters["weight_decay"]
    history: list[EpochRecord] = []
    pruned = False
    while len(history) < NUM_EPOCHS and not pruned:
        loss = end + 1 / (1 + len(history))
        history.append(EpochRecord(len(history), proposal.parameters["learning_rate"], loss, loss, 0.5))
        pruned = should_stop(place, history)
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


def run_batch(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
    return [run_trial(place, proposal, should_stop) for place, proposal in enumerate(proposals)]


def prunes(search: SearchConfig) -> bool:
    return search.pruner is not None


def opened(folder: Path, workers: WorkersConfig, *, creating: bool) -> SharedStudy:
    return SharedStudy(open_storage(workers, folder), NAME, creating=creating)


def worker_of(study: SharedStudy, search: SearchConfig, objective: Objective = run_batch, **changes: Any) -> Worker:
    options = {"space": SPACE, "heartbeat_seconds": 0.2, **changes}
    return Worker(study, search, objective=objective, prunes=prunes(search), **options)


def coordination_of(study: SharedStudy, space: Space = SPACE, *, lost_after_seconds: float = 60.0) -> Coordination:
    return Coordination(study, space, heartbeat_seconds=0.2, lost_after_seconds=lost_after_seconds)


def coordinated(
    coordination: Coordination, search: SearchConfig, wait: Callable[[int], None], *, batch_size: int = 1
) -> list[TrialRecord]:
    return coordination.run(
        search, prunes=prunes(search), batch_size=batch_size, on_trial=lambda record: None, wait=wait
    )


def searched(
    folder: Path,
    search: SearchConfig,
    objective: Objective = run_batch,
    *,
    batch_size: int = 1,
    space: Space = SPACE,
    storage: str = "journal",
    lost_after_seconds: float = 60.0,
) -> list[TrialRecord]:
    """Run a search in this process, or go on with it; nothing of an earlier one may have to be waited for."""
    study = opened(folder, WorkersConfig(name="one", storage=storage), creating=True)
    coordination = coordination_of(study, space, lost_after_seconds=lost_after_seconds)
    worker = worker_of(study, search, objective, space=space)

    def wait(num_finished: int) -> None:
        if not worker.run_next():
            assert lost_after_seconds < 1, "somebody is believed alive who is not"
            time.sleep(0.05)

    return coordinated(coordination, search, wait, batch_size=batch_size)


def many_trials(num_trials: int) -> SearchConfig:
    """As many trials as asked for, of which no one knows of another."""
    return replace(QUASI_RANDOM, num_trials=num_trials)


def main() -> None:
    """Work on a study of 200 trials at most, each of which takes so many seconds."""
    folder, storage, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

    def slow(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        time.sleep(seconds)
        with (folder / "runs.txt").open("a", encoding="ascii") as runs:
            runs.write(f"{os.getpid()} {proposals[0].position}\n")
        return run_batch(proposals, should_stop)

    study = opened(folder, WorkersConfig(name="test", storage=storage), creating=False)
    worker_of(study, many_trials(200), slow).run_all(lost_after_seconds=30)


if __name__ == "__main__":
    main()
