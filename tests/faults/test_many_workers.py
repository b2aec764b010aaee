"""Many workers on one study, of which some are killed, stopped and continued, or left without their stage."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from backbench.results.records import TrialRecord
from tests.faults.conftest import Tried, differing
from tests.support.engine_workers import TWO_LOCAL, processes_in, wait_until, work_in, workers_in
from tests.support.toy_study import SlowFit, many_trials, search_by_two, searched

pytestmark = pytest.mark.timeout(280)
NUM_WORKERS, NUM_TRIALS, NUM_KILLED = 8, 200, 2


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the stage and its workers."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


def by_position(trials: Sequence[TrialRecord]) -> dict[str, TrialRecord]:
    assert len(trials) == len({trial.index for trial in trials}), "a position counts twice"
    return {f"trial {trial.index}": trial for trial in trials}


def alone(num_trials: int) -> dict[str, TrialRecord]:
    """What one process finds that nobody disturbs."""
    return by_position(searched(Path("alone/kept"), many_trials(num_trials)).trials)


def test_with_two_of_eight_workers_killed_every_position_counts_once(place: Path, tried: Tried) -> None:
    fit, moments = SlowFit(place, num_epochs=3, seconds=0.05), random.Random(0)
    kill_at = sorted(moments.sample(range(10, NUM_TRIALS // 2), NUM_KILLED))
    ended, killed = list[int](), list[int]()

    def kill_one(records: Sequence[TrialRecord]) -> None:
        """Kill a worker in the middle of a trial: the first alone, the second with the process that computes."""
        ended.extend(record.index for record in records)
        if len(killed) == NUM_KILLED or len(ended) < kill_at[len(killed)]:
            return
        worker = moments.choice(list(workers_in(place).values()))
        os.killpg(worker.pid, signal.SIGSTOP)  # so that what is seen of it stays so
        computing = {child.pid for child in worker.children()}
        at = [(position, epoch) for process, position, epoch in fit.said() if process in computing][-1:]
        if not at or at[0][1] == fit.num_epochs:
            os.killpg(worker.pid, signal.SIGCONT)
            return
        (os.killpg if killed else os.kill)(worker.pid, signal.SIGKILL)
        os.killpg(worker.pid, signal.SIGCONT)
        killed.append(at[0][0])

    workers = replace(TWO_LOCAL, num_workers=NUM_WORKERS)
    found = searched(place / "many/kept", many_trials(NUM_TRIALS), fit, workers=workers, on_trials=kill_one)
    assert len(killed) == NUM_KILLED, "the study had ended before they were killed"
    run = Counter(position for _, position, epoch in fit.said() if epoch == fit.num_epochs)
    assert sorted(run) == list(range(NUM_TRIALS))
    assert all(run[position] == 1 for position in range(NUM_TRIALS) if position not in killed)
    tried(
        "a worker is killed in the middle of a trial",
        how=f"SIGKILL to {NUM_KILLED} of {NUM_WORKERS} workers of {NUM_TRIALS} trials at random moments",
        times=NUM_KILLED,
        lost=differing(alone(NUM_TRIALS), by_position(found.trials)),
    )


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[None]:
    """Act on the workers of the stage that runs meanwhile in this thread."""
    failed: list[BaseException] = []

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=acting)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]


def test_a_worker_that_was_taken_for_lost_and_comes_back_takes_nothing_away(place: Path, tried: Tried) -> None:
    fit, num_trials = SlowFit(place, num_epochs=300, seconds=0.05), 2
    stopped: list[int] = []

    def saved() -> list[tuple[int, int]]:
        """Return, of trial 0, who saved and how many epochs the file had then."""
        return [(process, epoch) for process, position, epoch in fit.said("saved") if position == 0]

    def stop_and_continue() -> None:
        wait_until(lambda: len(saved()) >= 10)
        computes = psutil.Process(saved()[-1][0])
        worker = computes.ppid()
        os.killpg(worker, signal.SIGSTOP)
        stopped.append(computes.pid)
        before = saved()[-1][1]
        wait_until(lambda: saved()[-1][1] >= before + 20)
        os.killpg(worker, signal.SIGCONT)
        wait_until(lambda: not computes.is_running())

    with beside(stop_and_continue):
        workers = replace(TWO_LOCAL, lost_after_seconds=4.0)
        found = searched(place / "many/kept", many_trials(num_trials), fit, workers=workers)
    savers = [process for process, _ in saved()]
    assert len(set(savers)) == 2, "it was run elsewhere"
    assert stopped[0] in savers[savers.index(next(other for other in savers if other not in stopped)) :], "it came back"
    tried(
        "a worker stands still for longer than `lost_after_seconds`, and comes back",
        how="SIGSTOP to one of two workers until its trial was 20 epochs further at the other, then SIGCONT",
        times=1,
        lost=[
            *(f"epochs {after} to {before}" for (_, before), (_, after) in pairwise(saved()) if after < before),
            *differing(alone(num_trials), by_position(found.trials)),
        ],
    )


STAGE = """
from pathlib import Path
from tests.support.toy_study import search_by_two
search_by_two(Path.cwd())
"""


@pytest.mark.parametrize("killed", ["the stage", "the stage and its workers"])
def test_a_stage_that_was_killed_goes_on_and_loses_the_epochs_in_flight_at_most(
    place: Path, tried: Tried, killed: str
) -> None:
    fit = SlowFit(place, num_epochs=40, seconds=0.1)
    with subprocess.Popen([sys.executable, "-c", STAGE], stdout=subprocess.DEVNULL) as stage:
        wait_until(lambda: len({position for _, position, epoch in fit.said() if epoch >= 5}) == 2)
        workers, processes = workers_in(place), processes_in(place)
        stage.kill()
        if killed != "the stage":
            for worker in workers.values():
                os.killpg(worker.pid, signal.SIGKILL)
    assert len(processes) >= 4
    found = search_by_two(place)  # at once: those of before may still be there
    assert not psutil.wait_procs(processes, 60)[1], "without a stage its workers leave by themselves"
    computed = Counter((position, epoch) for _, position, epoch in fit.said() if epoch < fit.num_epochs)
    again = [f"epoch {epoch + 1} of trial {position}" for (position, epoch), times in computed.items() if times > 1]
    assert len(again) <= len(workers), "more than what was in flight"
    tried(
        f"{killed} {'is' if killed == 'the stage' else 'are'} killed",
        how="SIGKILL in the middle of two trials; started again at once; run again is the epoch in flight of each",
        times=1,
        lost=differing(alone(4), by_position(found)),
    )


DEADLY = """
import signal
from functools import partial
from pathlib import Path
from backbench.cli.entry import refusing
from backbench.runtime.engine.engine import running
from tests.support.engine_workers import TWO_LOCAL
from tests.support.toy_tasks import opened

with refusing(), running("sweep tiny", TWO_LOCAL, partial(opened, Path.cwd())) as run:
    list(run({{"trial 7": ("die", "death", 1000, signal.SIGKILL, {who!r}), "trial 8": ("square", 8)}}))
"""


@pytest.mark.parametrize(("who", "found"), [("worker", "the worker dead"), ("process", "the process dead")])
def test_a_task_that_takes_down_three_workers_is_named_and_ends_the_stage(
    place: Path, tried: Tried, who: str, found: str
) -> None:
    command = [sys.executable, "-c", DEADLY.format(who=who)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: sweep tiny: trial 7: expected it to end, found 3 times {found} that runs it")
    assert done.stderr.count("\n") == 1
    assert (place / "death.deaths").stat().st_size == 3
    tried(
        f"a task kills its {who} every time",
        how="SIGKILL by the task itself; after the third time the stage names it and ends with exit code 2",
        times=3,
        lost=[str(process) for process in processes_in(place)],
    )
