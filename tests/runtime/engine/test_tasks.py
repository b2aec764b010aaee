"""What becomes of a task: its record, its error, or its death, here and by workers."""

import signal
from functools import partial
from pathlib import Path

import pytest

from backbench.runtime.engine.engine import Run, running
from backbench.runtime.engine.workers import THIS_PROCESS
from backbench.runtime.errors import ConfigError, WorkerError
from tests.support.engine_workers import processes_in, workers_in
from tests.support.toy_tasks import epochs_of, opened


def test_workers_answer_as_this_process_does(run: Run, shared_place: Path) -> None:
    tasks = {f"task {number}": ("square", number) for number in range(12)}
    with running("here", THIS_PROCESS, partial(opened, shared_place)) as here:
        records = dict(here(tasks))
    assert records == {f"task {number}": number**2 for number in range(12)}
    assert dict(run(tasks)) == records
    assert dict(run({})) == {}


@pytest.mark.parametrize("by", ["this process", "workers"])
def test_a_refused_task_is_told_as_its_own_error_with_every_line(run: Run, shared_place: Path, by: str) -> None:
    with running("here", THIS_PROCESS, partial(opened, shared_place)) as here, pytest.raises(ConfigError) as refused:
        list((run if by == "workers" else here)({"task": ("refuse",)}))
    assert refused.value.lines == ("expected nothing, found a task", "and a second mistake")


@pytest.mark.parametrize(
    ("task", "found"),
    [(("fail",), "SystemExit: of its own"), (("square", "a"), "TypeError: .*"), (("absent",), "AttributeError: .*")],
    ids=["exit", "error", "absent"],
)
def test_whatever_a_task_raises_is_told_with_its_name_and_ends_no_process(
    run: Run, shared_place: Path, task: tuple[str, ...], found: str
) -> None:
    list(run({"before": ("process",)}))
    before = processes_in(shared_place)
    with pytest.raises(WorkerError, match=f"^toy tasks: the third: {found}; the workers' logs say where"):
        list(run({"the third": task}))
    assert processes_in(shared_place) == before


# SIGKILL is what the kernel sends where memory runs out.
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT], ids=["SIGKILL", "SIGABRT"])
def test_a_task_whose_process_died_is_run_again_in_another_by_the_same_workers(
    run: Run, shared_place: Path, number: signal.Signals
) -> None:
    list(run({f"{place}": ("square", place) for place in range(2)}))
    before = workers_in(shared_place)
    name = f"once by {number.name}"
    assert dict(run({name: ("die", name, 1, number)})) == {name: 1}
    logs = "".join(log.read_text() for log in shared_place.rglob("worker-*.log"))
    assert "the process that computes died; its task is run again\n" in logs
    assert workers_in(shared_place) == before


def test_a_task_that_takes_its_process_down_three_times_is_named(run: Run, shared_place: Path) -> None:
    with pytest.raises(WorkerError, match="^toy tasks: deadly: expected it to end, found 3 times the process dead"):
        list(run({"deadly": ("die", "deadly")}))
    assert (shared_place / "deadly.deaths").stat().st_size == 3


def test_a_task_whose_worker_died_is_run_elsewhere_and_the_worker_replaced_under_its_number(
    run: Run, shared_place: Path
) -> None:
    list(run({f"{place}": ("square", place) for place in range(2)}))
    before = workers_in(shared_place)
    wait = ("counted", 1, 400, 0.01)  # as long as another worker takes to start
    kill = ("die", "kills", 1, signal.SIGKILL, "worker")
    assert dict(run({"kills": kill, "waits": wait})) == {"kills": 1, "waits": 400}
    assert len({process for process, _ in epochs_of(shared_place, 1)}) == 1, "the other task was not disturbed"
    after = workers_in(shared_place)
    assert sorted(after) == [0, 1]
    assert len(set(after.values()) & set(before.values())) == 1, "one was replaced"
