"""Workers that are jobs of a real SLURM of two nodes: which are started, and that none is left."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError
from tests.support.engines.slurm import Job, Slurm
from tests.support.toy_tasks import epochs_of, opened

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]
# A worker has a node to itself: both of its fake GPUs.
SRUN = "srun --job-name=toy --time=30 --ntasks=1 --cpus-per-task=1 --mem=1G --gres=gpu:2 {worker}"
TWO = Workers(name="slurm", start=SRUN, num_workers=2)
NUM_EPOCHS = 40
ENDED = {"CANCELLED", "COMPLETED", "FAILED"}
STAGE = """
from pathlib import Path
from tests.runtime.engine.test_slurm_workers import count
count(Path.cwd())
"""
# A job that every other one makes room for, on both nodes.
URGENT = ("--partition=high", "--nodes=2", "--exclusive")
Start = Callable[[], "subprocess.Popen[bytes]"]


def count(folder: Path) -> None:
    """Run the stage of these tests: as many tasks as workers."""
    with running("stage", TWO, partial(opened, folder)) as run:
        list(run({f"task {number}": ("counted", number, NUM_EPOCHS, 0.25) for number in range(2)}))


@pytest.fixture
def known(slurm: Slurm, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Speak to this SLURM, and know its jobs of before; no job is left afterwards."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    known = set(slurm.jobs())
    yield known
    slurm.cancel_all()
    slurm.wait_until(lambda jobs: not {job.state for job in jobs.values()} & {"PENDING", "RUNNING", "COMPLETING"})


@pytest.fixture
def start(known: set[str]) -> Iterator[Start]:
    """Start the stage, a process of its own."""
    with ExitStack() as started:

        def start() -> "subprocess.Popen[bytes]":
            stage = started.enter_context(subprocess.Popen([sys.executable, "-c", STAGE]))
            started.callback(stage.kill)
            return stage

        yield start


def states(jobs: dict[str, Job], known: set[str]) -> list[str]:
    return sorted(job.state for id_, job in jobs.items() if id_ not in known)


def test_a_job_that_waits_when_the_stage_ends_is_cancelled(slurm: Slurm, known: set[str], place: Path) -> None:
    three = replace(TWO, num_workers=3)
    with running("three", three, partial(opened, place)) as run:
        records = dict(run({f"task {number}": ("counted", number, 20, 0.1) for number in range(4)}))
        assert "PENDING" in states(slurm.jobs(), known), "it is one more than there are nodes"
    assert records == {f"task {number}": 20 * number for number in range(4)}
    jobs = slurm.wait_until(lambda jobs: set(states(jobs, known)) <= ENDED)
    assert len(states(jobs, known)) == 3


def test_a_stage_that_is_asked_to_leave_while_its_workers_wait_leaves_at_once_and_no_job(
    slurm: Slurm, known: set[str], place: Path, start: Start
) -> None:
    stage = start()
    slurm.wait_until(lambda _: all(epochs_of(place, number) for number in range(2)))
    urgent = slurm.submit("sleep 600", *URGENT)
    known.add(urgent)
    slurm.wait_until(lambda jobs: jobs[urgent].state == "RUNNING" and states(jobs, known).count("PENDING") == 2)
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(30) == -signal.SIGTERM
    slurm.wait_until(lambda jobs: set(states(jobs, known)) <= ENDED)
    slurm.cancel(urgent)
    assert start().wait(120) == 0
    for number in range(2):
        assert [epoch for _, epoch in epochs_of(place, number)] == list(range(1, NUM_EPOCHS + 1)), "each epoch once"


def test_jobs_of_a_stage_that_was_killed_work_for_the_next(
    slurm: Slurm, known: set[str], place: Path, start: Start
) -> None:
    urgent = slurm.submit("sleep 600", *URGENT)
    slurm.wait_until(lambda jobs: jobs[urgent].state == "RUNNING")
    known.add(urgent)
    killed = start()
    slurm.wait_until(lambda jobs: states(jobs, known) == ["PENDING"] * 2)
    killed.kill()
    killed.wait()
    again = start()
    slurm.wait_until(lambda jobs: states(jobs, known) == ["PENDING"] * 4)
    slurm.cancel(urgent)
    assert again.wait(120) == 0
    slurm.wait_until(lambda jobs: set(states(jobs, known)) <= ENDED)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (SRUN.replace("{worker}", "sh -c 'echo expected a module >&2; exit 3; {worker}'"), "expected a module"),
        (f"env PYTHONHOME=nowhere {SRUN}", "<no Python frame>"),
        (SRUN.replace("srun", "srun --partition=nowhere"), "srun: error: .*Invalid partition name"),
        (SRUN.replace("srun", "srun --colour=red"), 'Try "srun --help" for more information'),
    ],
    ids=["shell", "python", "partition", "option"],
)
def test_jobs_that_end_before_their_worker_connects_are_told_of_with_the_last_word(
    slurm: Slurm, known: set[str], place: Path, line: str, told: str
) -> None:
    workers = replace(TWO, start=line)
    expected = (
        rf"[34] ended before they did, the last with code \d+ \({told}.*\); look into work/workers/fruitless/.*log$"
    )
    with pytest.raises(WorkerError, match=expected), running("fruitless", workers, partial(opened, place)) as run:
        list(run({f"task {number}": ("square", number) for number in range(2)}))
    slurm.wait_until(lambda jobs: set(states(jobs, known)) <= ENDED)


def test_a_stage_in_a_job_submits_jobs_that_know_nothing_of_its_own(slurm: Slurm, known: set[str], place: Path) -> None:
    stage = """
import json
import re
from functools import partial
from pathlib import Path
from backbench.runtime.engine.engine import running
from tests.runtime.engine.test_slurm_workers import TWO
from tests.support.toy_tasks import opened

with running("inner", TWO, partial(opened, Path.cwd())) as run:
    ((_, found),) = run({"variables": ("variables", "SLURM", "SBATCH_")})
Path("found.json").write_text(json.dumps(found))
"""
    Path("stage.py").write_text(stage, encoding="utf-8")
    outer = {"SLURM_MEM_PER_CPU": "7", "SBATCH_PARTITION": "nowhere", "SLURM_OUTER": "1"}
    exports = " ".join(f"{name}={value}" for name, value in outer.items())
    job = slurm.submit(f"env {exports} {sys.executable} stage.py", "--mem=1500", "--ntasks=2", "--gres=gpu:1")
    slurm.wait_until(lambda jobs: jobs[job].state == "COMPLETED", seconds=120)
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert found["SLURM_CONF"] == slurm.environment["SLURM_CONF"]
    assert found["SLURM_JOB_ID"] != job
    assert (found["SLURM_NTASKS"], found["SLURM_JOB_NAME"]) == ("1", "toy")
    assert not found.keys() & {*outer, "SLURM_MEM_PER_CPU"}
