"""Run what a table lacks, arm after arm in turn."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.images import prepare_images
from bench.rows import Measurement, append_rows, read_rows
from bench.studies import Study
from bench.workers import KERAS_TUNER, LIMITS, TEXTBOOK, OpenWorker, arms_of

START, STUDY, PREDICT = "start", "study", "predict"


@dataclass(frozen=True)
class Unit:
    """What is run in one go, and not again once its row is there."""

    arm: str
    repeat: int
    trial: str


def units_of(study: Study, repeat: int, num_trials: int) -> list[Unit]:
    """Order the units of one repeat.

    The arms take turns, trial by trial, and a different one is first each time, so that a machine that warms up or
    slows down does so to all of them. This project runs its study as one unit; the limits are measured once. Where not
    all trials are run, each repeat runs others.
    """
    arms = arms_of(study)
    units = []
    for place in range(num_trials):
        trial = (repeat * num_trials + place) % study.num_trials
        first = (repeat + trial) % len(arms)
        for arm in (*arms[first:], *arms[:first]):
            if arm in (TEXTBOOK, KERAS_TUNER):
                units.append(Unit(arm, repeat, str(trial)))
            elif place == 0:
                units.append(Unit(arm, repeat, PREDICT if arm == LIMITS else STUDY))
    return units


@dataclass(frozen=True)
class Bench:
    """Where the benchmark keeps its files and how it opens arms.

    `make_start` writes what all arms start from into a study's folder.
    """

    table: Path
    root: Path
    open_worker: OpenWorker
    make_start: Callable[[Study, Path], None]
    say: Callable[[str], None]

    def run(self, study: Study, *, repeats: int, num_trials: int) -> None:
        """Run every unit whose row the table lacks, of so many repeats and so many of the other arms' trials."""
        folder = study.folder(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        prepare_images(study, folder)
        self.make_start(study, folder)
        for repeat in range(repeats):
            self._run_repeat(study, folder, list(self._lacking(study, repeat, num_trials)))

    def _lacking(self, study: Study, repeat: int, num_trials: int) -> Iterator[Unit]:
        here = [row for row in read_rows(self.table) if (row.suite, row.backbone) == (study.suite, study.backbone)]
        done = {Unit(row.arm, row.repeat, row.trial) for row in here}
        return (unit for unit in units_of(study, repeat, num_trials) if unit not in done)

    def _run_repeat(self, study: Study, folder: Path, units: list[Unit]) -> None:
        with ExitStack() as opened:
            workers = {}
            for arm in dict.fromkeys(unit.arm for unit in units):
                workers[arm] = self.open_worker(arm, study, folder)
                opened.callback(workers[arm].close)
                start = Measurement(trial=START, seconds=workers[arm].start_seconds)
                self._append(study, arm, units[0].repeat, [start])
            for unit in units:
                measured = workers[unit.arm].measure(unit.trial)
                self._append(study, unit.arm, unit.repeat, measured)
                self.say(_line(study, unit, measured))

    def _append(self, study: Study, arm: str, repeat: int, measured: list[Measurement]) -> None:
        append_rows(self.table, measured, suite=study.suite, backbone=study.backbone, arm=arm, repeat=repeat)


def _line(study: Study, unit: Unit, measured: list[Measurement]) -> str:
    first = next(row for row in measured if row.trial == unit.trial)
    accuracy = "" if first.val_accuracy is None else f", val accuracy {first.val_accuracy:.3f}"
    return f"{study.suite} {study.backbone} {unit.arm} {unit.repeat}/{unit.trial}: {first.seconds:.1f} s{accuracy}"
