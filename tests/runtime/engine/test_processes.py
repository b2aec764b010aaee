"""What a stage imports, warns of and leaves behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.configs import PROJECT
from tests.support.engine_workers import workers_in

LEAVES = """
import threading
from functools import partial
from pathlib import Path

import psutil

from backbench.runtime.engine.engine import running
from tests.support.engine_workers import TWO_LOCAL
from tests.support.toy_tasks import opened

with running("clean", TWO_LOCAL, partial(opened, Path.cwd())) as run:
    print(len(dict(run({f"task {number}": ("square", number) for number in range(8)}))))
    print(len(psutil.Process().children(recursive=True)))
print(*sorted(thread.name for thread in threading.enumerate()))
print(psutil.Process().children(recursive=True), psutil.Process().net_connections())
"""
WAITS = """
import sys
sys.path.insert(0, {pipelines!r})
import sweep, train
from functools import partial
from pathlib import Path
from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import THIS_PROCESS
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.support.toy_tasks import opened
with running("one", THIS_PROCESS, partial(opened, Path.cwd())) as run:
    print(dict(run({{"task": ("square", 3)}})))
print(*sorted({{"dask", "distributed", "keras", "tensorflow", "numpy"}} & sys.modules.keys()))
"""


def said_by(program: str, *options: str) -> list[str]:
    done = subprocess.run([sys.executable, *options, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.splitlines()


def test_nothing_is_left_behind_and_nothing_is_warned_of(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor by a worker, nor by the process that computes for it."""
    scratch = place / "scratch"
    scratch.mkdir()
    for name, value in {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1", "TMPDIR": str(scratch)}.items():
        monkeypatch.setenv(name, value)
    said = said_by(LEAVES)
    assert said[:2] == ["clean: asks for 2 workers; their logs are in work/workers/clean", "8"]
    assert int(said[2]) >= 4, "two workers, and their processes"
    threads = {name for name in said[3].split() if not name.startswith("Dask-")}  # daemons, which keep no process alive
    assert threads == {"MainThread"}
    assert said[4] == "[] []"
    assert not workers_in(place)
    left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    logs = {f"work/workers/clean/worker-{number}.log" for number in range(2)}
    assert left - {f"scratch/dask-scratch-space/{name}.lock" for name in ("global", "purge")} == {
        "work/workers/clean/certificate.pem",
        "work/workers/clean/key.pem",
        *logs,
    }
    for log in logs:
        assert (place / log).read_text() == ""


def test_a_stage_that_runs_its_own_tasks_knows_no_dask_and_one_that_waits_no_network(place: Path) -> None:
    assert said_by(WAITS.format(pipelines=str(PROJECT / "pipelines"))) == ["{'task': 9}", "numpy"]
