"""A process per arm and repeat: started and imported before its first clock, alive for all its trials.

So a trial finds what it finds in a study that one script runs: libraries loaded, threads and kernels warm from the
trial before; and no arm profits from what another one, or an earlier repeat, has warmed.
"""

import importlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Protocol

from bench.rows import Measurement
from bench.studies import Study

PROJECT, TEXTBOOK, KERAS_TUNER, LIMITS = "project", "textbook", "keras_tuner", "limits"
MODULES = {PROJECT: "bench.project", TEXTBOOK: "bench.textbook", KERAS_TUNER: "bench.tuner", LIMITS: "bench.limits"}


class Arm(Protocol):
    """One way to run the study; what it may have ready before the clock is ready when it is made."""

    def measure(self, trial: str) -> list[Measurement]: ...


class Worker(Protocol):
    """Where an arm lives."""

    start_seconds: float

    def measure(self, trial: str) -> list[Measurement]: ...

    def close(self) -> None: ...


OpenWorker = Callable[[str, Study, Path], Worker]
_made: dict[str, Arm] = {}


def arms_of(study: Study) -> list[str]:
    """Name every arm of a study, in the order in which the first repeat runs them."""
    return [PROJECT, *study.variants, TEXTBOOK, KERAS_TUNER, LIMITS]


def end_with_driver() -> None:
    """Let this process end when the driver does: a killed one would leave arms that go on and disturb the next."""
    driver = parent_process()
    assert driver is not None

    def watch() -> None:
        wait([driver.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_driver)


def import_arm(arm: str) -> None:
    """Import an arm with its libraries; a variant of this project has the project's."""
    importlib.import_module(MODULES.get(arm, MODULES[PROJECT]))


def make_arm(arm: str, study: Study, folder: Path) -> Arm:
    """Make an arm, its images in memory."""
    if arm == TEXTBOOK:
        from bench.textbook import Textbook

        return Textbook(study, folder)
    if arm == KERAS_TUNER:
        from bench.tuner import KerasTuner

        return KerasTuner(study, folder)
    if arm == LIMITS:
        from bench.limits import Limits

        return Limits(study, folder)
    from bench.project import Project

    return Project(study, folder, study.variants.get(arm, {}))


class ProcessWorker:
    """An arm in a process of its own."""

    def __init__(self, arm: str, study: Study, folder: Path) -> None:
        started = time.perf_counter()
        self._pool = _pool()
        self._pool.submit(import_arm, arm).result()
        self.start_seconds = time.perf_counter() - started
        self._pool.submit(_make_here, arm, study, folder).result()

    def measure(self, trial: str) -> list[Measurement]:
        """Measure one trial or part; an error there is raised here."""
        return self._pool.submit(_measure_here, trial).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


def _make_here(arm: str, study: Study, folder: Path) -> None:
    _made["arm"] = make_arm(arm, study, folder)


def _measure_here(trial: str) -> list[Measurement]:
    return _made["arm"].measure(trial)


def start_in_process(study: Study, folder: Path) -> None:
    """Make what the arms start from in a process that ends, so that the driver never imports TensorFlow."""
    with _pool() as pool:
        pool.submit(_make_start, study, folder).result()


def _make_start(study: Study, folder: Path) -> None:
    from bench.start import make_start

    make_start(study, folder)
