"""What a study took to compute: the work of all who took part, and nothing that they waited for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from backbench.adaptation.interruption import Interrupted
from backbench.search.shared_study import COMPUTE, LOST
from backbench.search.worker import Objective, ShouldStop

from backbench.config.running_config import WorkersConfig
from backbench.config.search_config import SearchConfig
from backbench.results.compute import NOTHING, STAGES, Compute, Stopwatch, read_compute, write_compute
from backbench.results.records import TrialRecord
from backbench.runtime.atomic_files import write_text
from backbench.runtime.paths import Cell
from backbench.search.search import Proposal, batches, proposals, rounds
from backbench.stages.sweep.finished_trials import FinishedTrials
from tests.support.clock import Clock, stopped
from tests.support.toy_study import (
    QUASI_RANDOM,
    SEARCHES,
    SPACE,
    coordinated,
    coordination_of,
    opened,
    prunes,
    run_batch,
    worker_of,
)

CELL = Cell("tiny", "fine_tuning")


class Killed(BaseException):
    """What stands for SIGKILL."""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.chdir(tmp_path)
    return stopped(monkeypatch)


def stored(storage: str = "journal") -> WorkersConfig:
    return WorkersConfig(name="test", storage=storage)


def studied(
    search: SearchConfig, objectives: Sequence[Objective], *, batch_size: int = 1, storage: str = "journal"
) -> Compute:
    """Run a study in the working folder, or go on with it; return what it took.

    Args:
        search: The study's.
        objectives: Of workers that take turns, each with a storage of its own, as in processes of their own.
        batch_size: How many trials a worker takes at once.
        storage: Where the study lies.
    """
    study = opened(Path("study"), stored(storage), creating=True)
    turns = [worker_of(opened(Path("study"), stored(storage), creating=False), search, each) for each in objectives]
    finished = FinishedTrials(
        Path("kept/cell"), search, prunes=prunes(search), batch_size=batch_size, computed=study.compute
    )

    def wait(num_finished: int) -> None:
        turns.append(turns.pop(0))
        assert turns[0].run_next(), "nothing waits"

    coordination_of(study).run(
        search, prunes=prunes(search), batch_size=batch_size, on_trial=finished.keep, wait=wait, known=finished.known
    )
    study.remove(["cell"])
    assert finished.compute is not None
    return finished.compute


def taking(clock: Clock, seconds: float) -> Objective:
    """Run batches that take so many seconds each."""

    def objective(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        clock.passes(seconds)
        return run_batch(proposals, should_stop)

    return objective


def ending_once_by(error: type[BaseException], clock: Clock, seconds: float, *, at: int) -> Objective:
    """Run batches that take so many seconds each; one of them, once, takes a hundredth and ends by an error."""
    pending, run = {at}, taking(clock, seconds)

    def objective(proposals: Sequence[Proposal], should_stop: ShouldStop) -> Sequence[TrialRecord]:
        if proposals[0].position in pending:
            pending.clear()
            clock.passes(seconds / 100)
            raise error
        return run(proposals, should_stop)

    return objective


@pytest.mark.parametrize("name", SEARCHES)
def test_a_study_that_was_killed_took_what_all_its_processes_computed(clock: Clock, name: str) -> None:
    search, batch_size = SEARCHES[name]
    objective = ending_once_by(Killed, clock, 100.0, at=4)
    with pytest.raises(Killed):
        studied(search, [objective], batch_size=batch_size)
    num_batches = sum(len(batches(positions, batch_size)) for positions in rounds(search, prunes=prunes(search)))
    took = studied(search, [objective], batch_size=batch_size)
    assert took.seconds == 100.0 * num_batches, "each batch once, and not what was lost"


def test_what_is_given_back_counts_with_what_goes_on_from_it(clock: Clock) -> None:
    objective = ending_once_by(Interrupted, clock, 100.0, at=2)
    with pytest.raises(Interrupted):
        studied(QUASI_RANDOM, [objective])
    assert studied(QUASI_RANDOM, [objective]).seconds == 6 * 100.0 + 1.0


def test_what_a_worker_took_that_was_lost_while_it_told_does_not_count(clock: Clock) -> None:
    study = opened(Path("study"), stored(), creating=True)
    claims = []

    def wait(num_finished: int) -> None:
        if not claims:
            claims.append(study.claim())
            study.storage.set_trial_user_attr(claims[0].trial_ids[0], COMPUTE, asdict(Compute(5.0, 0, ())))
            study.fail(claims[0].trial_ids[0], LOST)
        worker_of(study, QUASI_RANDOM, taking(clock, 100.0)).run_next()

    records = coordinated(coordination_of(study), QUASI_RANDOM, wait)
    assert not study.finish(claims[0], records[:1], Compute(5.0, 0, ())), "it tells too late"
    assert sum(study.compute().values(), NOTHING).seconds == 6 * 100.0


@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_two_workers_took_what_both_computed_each_on_its_machine(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    run: list[str] = []

    def on(machine: str, seconds: float) -> Objective:
        def objective(proposals: Sequence[Proposal], should_stop: ShouldStop) -> Sequence[TrialRecord]:
            run.append(machine)
            return taking(clock, seconds)(proposals, should_stop)

        return objective

    monkeypatch.setattr("backbench.results.compute.this_machine", lambda: run[-1])
    monkeypatch.setattr("backbench.results.compute.peak_memory_bytes", lambda: len(run))
    took = studied(QUASI_RANDOM, [on("A", 3.0), on("B", 50.0)], storage=storage)
    assert {machine: run.count(machine) for machine in run} == {"A": 3, "B": 3}
    assert (took.seconds, took.peak_memory_bytes) == (3 * 3.0 + 3 * 50.0, 6)
    assert sorted(took.machines) == ["A", "B"]


def test_a_longer_study_took_what_the_shorter_one_took_and_what_is_new(clock: Clock) -> None:
    longer = replace(QUASI_RANDOM, num_trials=10)
    assert studied(QUASI_RANDOM, [taking(clock, 100.0)]).seconds == 6 * 100.0
    assert studied(longer, [taking(clock, 7.0)]).seconds == 6 * 100.0 + 4 * 7.0
    assert studied(longer, [taking(clock, 1e6)]).seconds == 6 * 100.0 + 4 * 7.0


def test_waiting_for_a_storage_is_no_computing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def last_sign_waits(*arguments: Any) -> Iterator[None]:
        yield
        clock.passes(1000.0)

    storage = type(opened(Path("study"), stored(), creating=True).storage)
    for name in ("get_all_trials", "create_new_trial", "set_trial_state_values", "set_trial_user_attr"):
        monkeypatch.setattr(storage, name, _slow(getattr(storage, name), clock))
    monkeypatch.setattr("backbench.search.worker._giving_signs", last_sign_waits)
    before = clock()
    assert studied(QUASI_RANDOM, [taking(clock, 100.0)]).seconds == 6 * 100.0
    assert clock() - before > 6 * 1000.0


def _slow(method: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    def slow(*arguments: Any, **options: Any) -> Any:
        clock.passes(1000.0)
        return method(*arguments, **options)

    return slow


def test_where_a_part_is_not_known_the_whole_is_not(clock: Clock) -> None:
    computed: dict[int, Compute] = {0: Compute(5.0, 1, ("A",))}
    finished = FinishedTrials(Path("kept/cell"), QUASI_RANDOM, prunes=False, batch_size=1, computed=lambda: computed)
    trials = run_batch(proposals(QUASI_RANDOM, SPACE, range(2), []), lambda place, history: False)
    finished.keep(trials[0])
    assert finished.compute == computed[0]
    finished.keep(trials[1])
    assert finished.compute is None


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_result_took_is_not_said_of_another_one(clock: Clock, stage: str) -> None:
    """Such as one that DVC brings back from its cache."""
    result = {"embed": CELL.activations / "boundary.json", "sweep": CELL.best, "train": CELL.metrics}[stage]
    took = Compute(5.0, 7, ("A", "B"))
    assert read_compute(stage, CELL) is None
    write_text(result, "one")
    write_compute(stage, CELL, took)
    assert read_compute(stage, CELL) == took
    write_text(result, "another")
    assert read_compute(stage, CELL) is None
    write_text(result, "one")
    assert read_compute(stage, CELL) == took
    write_compute(stage, CELL, None)
    assert read_compute(stage, CELL) is None


def test_laps_add_up(clock: Clock) -> None:
    stopwatch = Stopwatch()
    clock.passes(2.0)
    first = stopwatch.lap()
    clock.passes(3.0)
    both = first + stopwatch.lap()
    assert (first.seconds, both.seconds) == (2.0, 5.0)
    assert both.machines == first.machines, "named once"
    assert both.peak_memory_bytes > 1 << 20
