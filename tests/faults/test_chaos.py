"""A real cell by workers that are asked to leave, killed, stopped and continued at random: as by one process."""

import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backbench.config.config import CellConfig
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.engine.workers import THIS_PROCESS, Workers
from backbench.runtime.paths import Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.faults.conftest import Tried, differing
from tests.support.configs import strategy_config
from tests.support.engine_workers import work_in, workers_in
from tests.support.tiny_cell import cell_config_for

pytestmark = pytest.mark.timeout(1800)
CELL = Cell("tiny", "fine_tuning")
THREE = Workers(name="chaos", start="{worker}", host="127.0.0.1", num_workers=3, lost_after_seconds=6.0)
LONG_SECONDS, SHORT_SECONDS = 3 * THREE.lost_after_seconds, 2.0
# A task may lose its worker twice, whether it is killed or stands still for too long: only the third time is blamed.
EVENTS = ("TERM", "USR1", "USR2", "TERM", "KILL", "STOP for long", "STOP", "STOP")


def config() -> CellConfig:
    """As many epochs, trials and seeds as keep three workers busy for longer than they take to start."""
    cell = cell_config_for("fine_tuning", seeds=[0, 1, 2])
    strategy = strategy_config(
        "fine_tuning", epochs=300, early_stopping_patience=300, views=2, linear_probe_warmup=None
    )
    return replace(cell, strategy=strategy, search=replace(cell.search, num_trials=6, trials_per_round=3))


def results() -> dict[str, str]:
    files = [*CELL.results.iterdir(), *CELL.models.iterdir(), CELL.predictions]
    return {path.as_posix(): file_sha256(path) for path in files}


class Chaos:
    """Sends signals to workers that are at a task, at random moments."""

    def __init__(self, place: Path, moments: random.Random, first: str) -> None:
        """Send `first` for certain, and of the others as many as the stage lasts for."""
        self._place, self._moments, self._ended = place, moments, threading.Event()
        others = list(EVENTS)
        others.remove(first)
        self.events = [first, *moments.sample(others, len(others))]
        self.done: list[str] = []

    def run(self) -> None:
        for event in self.events:
            worker = self._busy_worker()
            if worker is None:
                return
            with suppress(ProcessLookupError):
                self._send(event, worker)
                self.done.append(event)

    def end(self) -> None:
        self._ended.set()

    def _busy_worker(self) -> psutil.Process | None:
        """Wait for a while, and until a worker has a task's process that has begun to compute."""
        if self._ended.wait(self._moments.uniform(0.5, 3.0)):
            return None
        while not self._ended.wait(0.2):
            busy = [worker for worker in workers_in(self._place).values() if _computes(worker)]
            if busy:
                return self._moments.choice(busy)
        return None

    def _send(self, event: str, worker: psutil.Process) -> None:
        # To a worker alone, or to all of its processes, as where a machine goes.
        send = self._moments.choice([os.kill, os.killpg])
        name, *how_long = event.split(maxsplit=1)
        send(worker.pid, signal.Signals[f"SIG{name}"])
        if name == "STOP":
            self._ended.wait(LONG_SECONDS if how_long else SHORT_SECONDS)
            send(worker.pid, signal.SIGCONT)


def _computes(worker: psutil.Process) -> bool:
    """Say whether a worker has a process that has imported the network."""
    with suppress(psutil.Error):
        return any(child.memory_info().rss > 300 << 20 for child in worker.children())
    return False


@contextmanager
def chaos(place: Path, moments: random.Random, first: str) -> Iterator[Chaos]:
    """Send signals to the workers of the stage that runs meanwhile."""
    sending = Chaos(place, moments, first)
    thread = threading.Thread(target=sending.run)
    thread.start()
    try:
        yield sending
    finally:
        sending.end()
        thread.join()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_cell_by_workers_in_chaos_ends_in_the_same_bytes(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, tried: Tried, seed: int
) -> None:
    work_in(workplace, monkeypatch)
    cell, moments = config(), random.Random(seed)
    embed([cell])
    for stage in (sweep, train):
        stage(cell, THIS_PROCESS)
    alone = results()
    for folder in (CELL.results, CELL.models, paths.STATE):
        shutil.rmtree(folder)
    CELL.predictions.unlink()
    done: list[str] = []
    for stage, first in ((sweep, "KILL"), (train, "STOP for long")):
        with chaos(workplace, moments, first) as sent:
            stage(cell, THREE)
        done += sent.done
    assert not workers_in(workplace)
    assert {"KILL", "STOP for long"} <= set(done), "a stage had ended before"
    how = "`sweep` and `train` of a tiny cell by three workers: TERM, USR1, USR2, KILL, STOP and CONT"
    tried(
        "workers leave, die and stand still at random",
        how=f"{how}, at moments of seed {seed}",
        times=1,
        lost=differing(alone, results()),
    )
