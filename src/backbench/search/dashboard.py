"""Every finished cell's study as Optuna stores one, for optuna-dashboard to show.

A study's own storage goes when its sweep ends, for the trials in `results/` are the record. So what is shown is made
from them: each cell one study, each trial with its parameters, epochs and end.
"""

import warnings
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from backbench.config.strategy_config import RangeConfig
from backbench.results.records import BestRecord, TrialRecord
from backbench.runtime.paths import Cell
from backbench.search.search import BOUNDARY, Space, finished_trial

SEARCHED = ("learning_rate", "weight_decay")


def storage_url(database: Path) -> str:
    """Spell a SQLite file as Optuna and optuna-dashboard take it."""
    return f"sqlite:///{database}"


def add_study(database: Path, cell: Cell, best: BestRecord, trials: tuple[TrialRecord, ...]) -> None:
    """Add one cell's study to a SQLite file, named by the cell, with every trial in the order of the search.

    Raises:
        optuna.exceptions.DuplicatedStudyError: the file has this study already.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage_url(database), study_name=str(cell), direction="minimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["val_loss"])
    study.set_user_attr("chosen trial", best.choice.trial)
    study.set_user_attr("learning rate at edge", best.learning_rate_at_edge)
    distributions = distributions_of(best, trials)
    study.add_trials([_shown(record, distributions) for record in trials])


def distributions_of(best: BestRecord, trials: tuple[TrialRecord, ...]) -> dict[str, BaseDistribution]:
    """Return what was searched: the ranges of the strategy as it was then, and the boundaries that were tried."""
    ranges = {name: RangeConfig(**best.configuration["strategy"][name]) for name in SEARCHED}
    return Space(ranges, tuple(dict.fromkeys(trial.boundary for trial in trials))).distributions


def _shown(record: TrialRecord, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    attributes = {"val_accuracy": record.val_accuracy, "epochs": record.epochs, BOUNDARY: record.boundary}
    if record.reason:
        attributes["reason"] = record.reason
    return finished_trial(record, distributions, **attributes)
