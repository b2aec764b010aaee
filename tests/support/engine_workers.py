"""Workers on this machine, and the processes that they are."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backbench.runtime.engine.connection import LOOPBACK
from backbench.runtime.engine.worker_pool import MODULE
from backbench.runtime.engine.workers import WORKER, Workers
from tests.support.configs import PROJECT

TWO_LOCAL = Workers(name="local", start=WORKER, host=LOOPBACK, num_workers=2)
PATH = os.pathsep.join([str(PROJECT / "src"), str(PROJECT)])


def work_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have this process, and the workers that it starts, work in a folder, and find this project's code."""
    patch.chdir(folder)
    patch.setenv("PYTHONPATH", PATH)


def workers_in(folder: Path) -> dict[int, psutil.Process]:
    """Return the workers that run whose scheduler lies somewhere in a folder, by number."""
    found = {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if MODULE in words and words[-2].startswith(f"{folder.resolve()}{os.sep}"):
                found[int(words[-1])] = process
        except psutil.Error:
            continue
    return found


def processes_in(folder: Path) -> set[psutil.Process]:
    """Return the workers of a folder, and the processes that compute for them."""
    workers = workers_in(folder).values()
    return {*workers, *(child for worker in workers for child in worker.children())}


def wait_until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait until something is so that only files or other processes show."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
