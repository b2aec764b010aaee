"""What the rows say: the time of a whole study by arm, what came of it, and what the arithmetic alone allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.rows import Row
from bench.runs import PREDICT, START, STUDY
from bench.studies import Study
from bench.workers import KERAS_TUNER, LIMITS, PROJECT, TEXTBOOK, arms_of

PREFIX, EPOCH, EMBED = "prefix", "epoch", "embed"
MISSING = "–"


@dataclass(frozen=True)
class ArmSummary:
    """One arm of one study.

    `seconds` is the median over repeats of the whole study's time, of which `lowest` and `highest` are the range; where
    fewer than `num_trials` trials were run in a repeat, its time is their median times `num_trials`. `accuracy_gap` is
    the largest difference in validation accuracy between one of its trials and this project's of the same number.
    """

    arm: str
    seconds: float
    lowest: float
    highest: float
    num_repeats: int
    num_run: int
    num_trials: int
    first_step_seconds: float | None
    start_seconds: float
    val_accuracy: float
    accuracy_gap: float | None

    @property
    def is_estimate(self) -> bool:
        return self.num_run < self.num_trials


@dataclass(frozen=True)
class Limits:
    """Medians over repeats of what the arithmetic costs, in seconds, and what it allows a whole study."""

    predict: float
    prefix: float
    epoch: float
    num_epochs: int

    @property
    def textbook(self) -> float:
        """Every epoch of every trial passes all images through the frozen part and the trained one."""
        return self.num_epochs * (self.prefix + self.epoch)

    @property
    def cached(self) -> float:
        """The frozen part runs once; every epoch of every trial passes the trained part alone."""
        return self.prefix + self.num_epochs * self.epoch


@dataclass(frozen=True)
class Summary:
    """One study: its arms that have rows, and its limits, if they were measured."""

    study: Study
    arms: list[ArmSummary]
    limits: Limits | None
    machines: list[str]

    def ratio(self, arm: ArmSummary) -> float | None:
        """Return how many times as long as this project an arm takes."""
        ours = next((other for other in self.arms if other.arm == PROJECT), None)
        return None if ours is None else arm.seconds / ours.seconds


def summarise(study: Study, rows: Sequence[Row]) -> Summary:
    """Summarise the rows of one study; rows of others are passed over."""
    mine = [row for row in rows if (row.suite, row.backbone) == (study.suite, study.backbone)]
    by_arm = {arm: [row for row in mine if row.arm == arm] for arm in arms_of(study)}
    arms = [_arm_summary(study, arm, rows, by_arm[PROJECT]) for arm, rows in by_arm.items()]
    limits = _limits(study, [row for row in mine if row.arm == LIMITS])
    return Summary(study, [arm for arm in arms if arm is not None], limits, sorted({row.machine for row in mine}))


def _seconds(rows: Sequence[Row], trial: str) -> list[float]:
    return [row.seconds for row in rows if row.trial == trial and row.seconds is not None]


def _arm_summary(study: Study, arm: str, rows: Sequence[Row], ours: Sequence[Row]) -> ArmSummary | None:
    by_trial = arm in (TEXTBOOK, KERAS_TUNER)
    timed = [
        row for row in rows if row.seconds is not None and (row.trial.isdigit() if by_trial else row.trial == STUDY)
    ]
    if arm == LIMITS or not timed:
        return None
    repeats = sorted({row.repeat for row in timed})
    of_repeat = [[row for row in timed if row.repeat == repeat] for repeat in repeats]
    num_trials = study.num_trials if by_trial else 1
    whole = [_whole([row.seconds or 0.0 for row in run], num_trials) for run in of_repeat]
    first_steps = [row.first_step_seconds for row in timed if row.first_step_seconds is not None]
    best = min(timed, key=lambda row: math.inf if row.val_loss is None else row.val_loss)
    return ArmSummary(
        arm=arm,
        seconds=median(whole),
        lowest=min(whole),
        highest=max(whole),
        num_repeats=len(repeats),
        num_run=min(len(run) for run in of_repeat) if by_trial else study.num_trials,
        num_trials=study.num_trials,
        first_step_seconds=median(first_steps) if first_steps else None,
        start_seconds=median(_seconds(rows, START)),
        val_accuracy=best.val_accuracy or 0.0,
        accuracy_gap=_accuracy_gap(rows, ours) if by_trial else None,
    )


def _accuracy_gap(theirs: Sequence[Row], ours: Sequence[Row]) -> float | None:
    expected = _accuracies(ours)
    return max((abs(found - expected[t]) for t, found in _accuracies(theirs).items() if t in expected), default=None)


def _accuracies(rows: Sequence[Row]) -> dict[str, float]:
    return {row.trial: row.val_accuracy for row in rows if row.trial.isdigit() and row.val_accuracy is not None}


def _whole(seconds: list[float], num_trials: int) -> float:
    return sum(seconds) if len(seconds) >= num_trials else median(seconds) * num_trials


def _limits(study: Study, rows: Sequence[Row]) -> Limits | None:
    if not _seconds(rows, PREDICT):
        return None
    predict, prefix, epoch = (median(_seconds(rows, trial)) for trial in (PREDICT, PREFIX, EPOCH))
    return Limits(predict, prefix, epoch, study.num_trials * study.config.strategy.epochs)
