"""What a study took to compute: the work of all who took part, and nothing that they waited for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backbench.config.search_config import SearchConfig
from backbench.data.arrays.file_formats import read_json, write_json
from backbench.results.compute import STAGES, Compute, Stopwatch, read_compute, write_compute
from backbench.results.records import TrialRecord
from backbench.runtime.atomic_files import write_text
from backbench.runtime.engine.engine import Run, Tasks
from backbench.runtime.interruption import Interrupted
from backbench.runtime.paths import Cell
from backbench.search.search import Proposal, batches, rounds
from backbench.stages.sweep.study import Fit, ShouldStop, Study
from tests.support.clock import Clock, stopped
from tests.support.toy_study import QUASI_RANDOM, SEARCHES, fit, toy_study

CELL = Cell("tiny", "fine_tuning")


class Killed(BaseException):
    """What stands for SIGKILL."""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.chdir(tmp_path)
    return stopped(monkeypatch)


def by_turns(study: Study, fits: Sequence[Fit]) -> Run:
    """Run the batches of a study by workers that take turns."""
    turns = list(fits)

    def run(tasks: Tasks) -> Iterator[tuple[str, Any]]:
        for name, (_, *arguments, _fold) in tasks.items():
            turns.append(turns.pop(0))
            yield name, study.run_batch(turns[0], *arguments)

    return run


def studied(search: SearchConfig, fits: Sequence[Fit]) -> Compute:
    """Run a study in the working folder, or go on with it, by workers that take turns; return what it took."""
    study = toy_study(Path("kept/cell"), search)
    return study.search(by_turns(study, fits), lambda records: None).compute


def taking(clock: Clock, seconds: float) -> Fit:
    """Fit batches that take so many seconds each."""

    def slow(batch: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        clock.passes(seconds)
        return fit(batch, should_stop)

    return slow


def ending_once_by(error: type[BaseException], clock: Clock, seconds: float, *, at: int) -> Fit:
    """Fit batches that take so many seconds each; one of them, once, takes a hundredth and ends by an error."""
    pending, slow = {at}, taking(clock, seconds)

    def ending(batch: Sequence[Proposal], should_stop: ShouldStop) -> Sequence[TrialRecord]:
        if batch[0].position in pending:
            pending.clear()
            clock.passes(seconds / 100)
            raise error
        return slow(batch, should_stop)

    return ending


def num_batches(search: SearchConfig) -> int:
    of_rounds = rounds(search, prunes=search.pruner is not None)
    return sum(len(batches(positions, search.trials_per_batch)) for positions in of_rounds)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_study_that_was_killed_took_what_all_its_processes_computed(clock: Clock, name: str) -> None:
    search = SEARCHES[name]
    ending = ending_once_by(Killed, clock, 100.0, at=4)
    with pytest.raises(Killed):
        studied(search, [ending])
    assert studied(search, [ending]).seconds == 100.0 * num_batches(search), "each batch once, and not what was lost"


def test_what_left_counts_with_what_goes_on_from_it(clock: Clock) -> None:
    ending = ending_once_by(Interrupted, clock, 100.0, at=2)
    with pytest.raises(Interrupted):
        studied(QUASI_RANDOM, [ending])
    assert studied(QUASI_RANDOM, [ending]).seconds == 6 * 100.0 + 1.0


def test_what_left_twice_counts_twice_and_what_it_left_goes(clock: Clock) -> None:
    study, batch = (
        toy_study(Path("kept/cell"), QUASI_RANDOM),
        [Proposal(0, "output", {"learning_rate": 0.01, "weight_decay": 0.001})],
    )
    for _ in range(2):
        with pytest.raises(Interrupted):
            study.run_batch(ending_once_by(Interrupted, clock, 100.0, at=0), batch, [])
    study.run_batch(taking(clock, 100.0), batch, [])
    (kept,) = Path("kept/cell").iterdir()
    assert read_json(kept, made_by="sweep")["compute"]["seconds"] == 102.0


def test_of_a_batch_that_was_run_twice_one_is_counted(clock: Clock) -> None:
    """As where a worker was taken for dead, and went on beside the one that had its trial."""
    study = toy_study(Path("kept/cell"), QUASI_RANDOM)

    def slower_beside(batch: Sequence[Proposal], should_stop: ShouldStop) -> Sequence[TrialRecord]:
        study.run_batch(taking(clock, 7.0), batch, [])
        clock.passes(1.0)
        return fit(batch, should_stop)

    assert studied(QUASI_RANDOM, [slower_beside]).seconds == 6 * 8.0, "of the one that came last"


def test_two_workers_took_what_both_computed_each_on_its_machine(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []

    def on(machine: str, seconds: float) -> Fit:
        def there(batch: Sequence[Proposal], should_stop: ShouldStop) -> Sequence[TrialRecord]:
            run.append(machine)
            return taking(clock, seconds)(batch, should_stop)

        return there

    monkeypatch.setattr("backbench.results.compute.this_machine", lambda: run[-1])
    monkeypatch.setattr("backbench.results.compute.peak_memory_bytes", lambda: len(run))
    took = studied(QUASI_RANDOM, [on("A", 3.0), on("B", 50.0)])
    assert {machine: run.count(machine) for machine in run} == {"A": 3, "B": 3}
    assert (took.seconds, took.peak_memory_bytes) == (3 * 3.0 + 3 * 50.0, 6)
    assert sorted(took.machines) == ["A", "B"]


def test_a_longer_study_took_what_the_shorter_one_took_and_what_is_new(clock: Clock) -> None:
    longer = replace(QUASI_RANDOM, num_trials=10)
    assert studied(QUASI_RANDOM, [taking(clock, 100.0)]).seconds == 6 * 100.0
    assert studied(longer, [taking(clock, 7.0)]).seconds == 6 * 100.0 + 4 * 7.0
    assert studied(longer, [taking(clock, 1e6)]).seconds == 6 * 100.0 + 4 * 7.0


def test_waiting_for_workers_is_no_computing(clock: Clock) -> None:
    study = toy_study(Path("kept/cell"), QUASI_RANDOM)
    run = by_turns(study, [taking(clock, 100.0)])

    def waiting(tasks: Tasks) -> Iterator[tuple[str, Any]]:
        clock.passes(1000.0)
        for each in run(tasks):
            clock.passes(1000.0)
            yield each

    took = study.search(waiting, lambda records: clock.passes(1000.0)).compute
    assert took.seconds == 6 * 100.0
    assert clock() > 6 * 1000.0


def test_a_batch_whose_time_is_not_known_is_run_again(clock: Clock) -> None:
    studied(QUASI_RANDOM, [taking(clock, 100.0)])
    file = min(Path("kept/cell").iterdir())
    content = read_json(file, made_by="sweep")
    del content["compute"]
    write_json(file, content)
    assert studied(QUASI_RANDOM, [taking(clock, 7.0)]).seconds == 5 * 100.0 + 7.0


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
