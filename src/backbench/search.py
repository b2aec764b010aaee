"""The Optuna study of one cell: the same trials after any interruption.

A trial is known by its position among the finished ones, not by Optuna's number: a trial that was in
flight when the process died is told FAIL and run again at the same position. The sampler is seeded
afresh for every position, so that a resumed study proposes what an uninterrupted one would.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from backbench.config import RangeConfig, SearchConfig
from backbench.errors import ConfigError
from backbench.records import Edge, EpochRecord, TrialRecord

Space = dict[str, RangeConfig]
Objective = Callable[[int, dict[str, float]], TrialRecord]
QUASI_RANDOM, TPE = "quasi_random", "tpe"


def quasi_random_points(space: Space, num_points: int, seed: int) -> list[dict[str, float]]:
    """Draw points of a scrambled Sobol sequence, each range on a logarithmic scale.

    Source:
        Random search with low-discrepancy sequences: Bousquet et al. 2017, https://arxiv.org/abs/1706.03200.
    """
    sequence = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(seed))
    unit = sequence.random_base2(max(1, math.ceil(math.log2(num_points))))[:num_points]
    return [
        {name: _at_share(space[name], share) for name, share in zip(space, row, strict=True)} for row in unit.tolist()
    ]


def _at_share(bounds: RangeConfig, share: float) -> float:
    return float(bounds.low * (bounds.high / bounds.low) ** share)


def _checked(search: SearchConfig) -> None:
    if search.sampler not in (QUASI_RANDOM, TPE):
        allowed = f"{QUASI_RANDOM} or {TPE}"
        raise ConfigError(
            f"conf/search/{search.name}.yaml: expected sampler {allowed}, found {search.sampler}; correct it"
        )
    if search.num_trials < 1:
        raise ConfigError(
            f"conf/search/{search.name}.yaml: expected num_trials of at least 1, found {search.num_trials}; raise it"
        )


def open_study(storage: Path, name: str) -> optuna.Study:
    """Open the study in a journal file, or create it; trials that a dead process left running are told FAIL."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    backend = JournalStorage(JournalFileBackend(str(storage)))
    study = optuna.create_study(storage=backend, study_name=name, direction="minimize", load_if_exists=True)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _record(trial: FrozenTrial) -> TrialRecord:
    stored = json.loads(trial.user_attrs["record"])
    history = tuple(EpochRecord(**epoch) for epoch in stored.pop("history"))
    return TrialRecord(history=history, **stored)


def finished_trials(study: optuna.Study) -> list[TrialRecord]:
    """Return the finished trials by position."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [_record(trial) for trial in sorted(done, key=lambda trial: trial.number)]


def run_search(
    study: optuna.Study,
    space: Space,
    search: SearchConfig,
    objective: Objective,
    *,
    on_trial: Callable[[TrialRecord], None],
) -> list[TrialRecord]:
    """Run trials until the study has `search.num_trials` finished ones.

    Args:
        study: New, or resumed.
        space: Names the parameters and their ranges.
        search: The sampler, its seed and the number of trials.
        objective: Maps a position and its parameters to the finished trial.
        on_trial: Told of every finished trial, those of an earlier process included.

    Returns:
        Exactly `num_trials` records, by position.
    """
    _checked(search)
    num_drawn = search.num_trials if search.sampler == QUASI_RANDOM else min(search.startup_trials, search.num_trials)
    drawn = quasi_random_points(space, num_drawn, search.seed)
    for record in finished_trials(study):
        on_trial(record)
    for position in range(len(finished_trials(study)), search.num_trials):
        study.sampler = optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence([search.seed, position]).generate_state(1)[0]), n_startup_trials=num_drawn
        )
        # One that waits already was enqueued for this position by a process that died before it asked.
        if position < num_drawn and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(drawn[position])
        trial = study.ask()
        parameters = {
            name: trial.suggest_float(name, bounds.low, bounds.high, log=True) for name, bounds in space.items()
        }
        record = objective(position, parameters)
        trial.set_user_attr("record", json.dumps(asdict(record)))
        study.tell(trial, record.val_loss)
        on_trial(record)
    return finished_trials(study)


def best_of(trials: Sequence[TrialRecord]) -> TrialRecord:
    """Return the trial with the lowest validation loss; of equals, the first."""
    return min(trials, key=lambda trial: (trial.val_loss, trial.index))


def position_in_range(value: float, bounds: RangeConfig, *, num_trials: int) -> Edge:
    """Say whether a value lies at the edge of its range: `low`, `high` or `none`.

    The edge is the share of the logarithmic range that one trial stands for, `1 / num_trials`.
    """
    share = math.log(value / bounds.low) / math.log(bounds.high / bounds.low)
    margin = 1.0 / max(num_trials, 2)
    if share < margin:
        return "low"
    return "high" if share > 1.0 - margin else "none"
