"""The Optuna study of one cell: the same trials after any interruption.

Optuna is asked for a batch of trials and told a batch. A trial is known by its position among all, not by Optuna's
number. What a batch found is written in one step before its trials are told; a batch that was in flight when the
process died leaves failed trials behind and is run again whole. Samplers are seeded afresh for every batch, so that a
resumed study proposes what an uninterrupted one would.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from backbench.config import PrunerConfig, RangeConfig, SearchConfig
from backbench.errors import ConfigError, DivergedError
from backbench.records import COMPLETE, PRUNED, Edge, EpochRecord, TrialRecord

QUASI_RANDOM, TPE = "quasi_random", "tpe"
BOUNDARY, BATCH = "boundary", "batch"


@dataclass(frozen=True)
class Space:
    """What is searched: ranges on logarithmic scales, and one of the freeze boundaries."""

    ranges: dict[str, RangeConfig]
    boundaries: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A trial to be run: its position in the study, and its parameters."""

    position: int
    boundary: str
    parameters: dict[str, float]


# Told the trial's place in its batch, and its epochs so far; true ends the trial as pruned.
ShouldStop = Callable[[int, Sequence[EpochRecord]], bool]
Objective = Callable[[Sequence[Proposal], ShouldStop], Sequence[TrialRecord]]


def quasi_random_points(space: Space, num_points: int, seed: int) -> list[dict[str, Any]]:
    """Draw points of a scrambled Sobol sequence, each range on a logarithmic scale.

    Source:
        Random search with low-discrepancy sequences: Bousquet et al. 2017, https://arxiv.org/abs/1706.03200.
    """
    dimensions = len(space.ranges) + (len(space.boundaries) > 1)
    sequence = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    unit = sequence.random_base2(max(1, math.ceil(math.log2(num_points))))[:num_points]
    return [_point(space, row) for row in unit.tolist()]


def _point(space: Space, shares: Sequence[float]) -> dict[str, Any]:
    point: dict[str, Any] = {
        name: float(bounds.low * (bounds.high / bounds.low) ** share)
        for (name, bounds), share in zip(space.ranges.items(), shares, strict=False)
    }
    chosen = int(shares[-1] * len(space.boundaries)) if len(space.boundaries) > 1 else 0
    return {**point, BOUNDARY: space.boundaries[chosen]}


class _Drawn(optuna.samplers.BaseSampler):
    """Proposes one point that was drawn ahead. An enqueued trial would outlive the process that enqueued it."""

    def __init__(self, point: dict[str, Any]) -> None:
        self._point = point

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._point[param_name]


def _checked(search: SearchConfig) -> None:
    where = f"conf/search/{search.name}.yaml"
    if search.sampler not in (QUASI_RANDOM, TPE):
        allowed = f"{QUASI_RANDOM} or {TPE}"
        raise ConfigError(f"{where}: expected sampler {allowed}, found {search.sampler}; correct it")
    for name in ("num_trials", "trials_per_batch"):
        if getattr(search, name) < 1:
            raise ConfigError(f"{where}: expected {name} of at least 1, found {getattr(search, name)}; raise it")


def _pruner(config: PrunerConfig | None) -> optuna.pruners.BasePruner:
    if config is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.PercentilePruner(
        config.percentile, n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup_epochs
    )


def open_study(storage: Path, name: str) -> optuna.Study:
    """Open the study in a journal file, or create it; what a dead process left running is told how it ended."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    backend = JournalStorage(JournalFileBackend(str(storage)))
    study = optuna.create_study(storage=backend, study_name=name, direction="minimize", load_if_exists=True)
    records = {record.index: record for record in finished_trials(study)}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        record = records.get(trial.user_attrs.get("position", -1))
        if record is None:
            study.tell(trial.number, state=TrialState.FAIL)
        else:
            _tell(study, trial.number, record)
    return study


def _tell(study: optuna.Study, number: int, record: TrialRecord) -> None:
    if record.state == PRUNED:
        study.tell(number, state=TrialState.PRUNED)
    else:
        study.tell(number, record.val_loss)


def _record(stored: dict[str, Any]) -> TrialRecord:
    history = tuple(EpochRecord(**epoch) for epoch in stored.pop("history"))
    return TrialRecord(history=history, **stored)


def finished_trials(study: optuna.Study) -> list[TrialRecord]:
    """Return the finished trials, pruned ones too, by position."""
    batches = [json.loads(value) for name, value in study.user_attrs.items() if name.startswith(BATCH)]
    return sorted((_record(stored) for batch in batches for stored in batch), key=lambda record: record.index)


def run_search(
    study: optuna.Study,
    space: Space,
    search: SearchConfig,
    objective: Objective,
    *,
    batch_size: int,
    on_trial: Callable[[TrialRecord], None],
) -> list[TrialRecord]:
    """Run trials until the study has `search.num_trials` finished ones.

    Args:
        study: New, or resumed.
        space: Names the parameters and their ranges.
        search: The sampler, its seed, the pruner and the number of trials.
        objective: Maps a batch of proposals to their finished trials, in the same order.
        batch_size: How many trials are proposed at once; an adaptive sampler learns between batches only.
        on_trial: Told of every finished trial, those of an earlier process included.

    Returns:
        Exactly `num_trials` records, by position; pruned ones count.
    """
    _checked(search)
    num_drawn = search.num_trials if search.sampler == QUASI_RANDOM else min(search.startup_trials, search.num_trials)
    drawn = quasi_random_points(space, num_drawn, search.seed)
    study.pruner = _pruner(search.pruner)
    for record in finished_trials(study):
        on_trial(record)
    while (start := len(finished_trials(study))) < search.num_trials:
        positions = range(start, min(start + batch_size, search.num_trials))
        trials = _ask(study, space, search, positions, drawn)
        proposals = [_proposal(space, position, trial) for position, trial in zip(positions, trials, strict=True)]
        records = objective(proposals, lambda place, history, trials=trials: _is_pruned(trials[place], history))  # type: ignore[misc]
        study.set_user_attr(f"{BATCH} {start}", json.dumps([asdict(record) for record in records]))
        for trial, record in zip(trials, records, strict=True):
            _tell(study, trial.number, record)
            on_trial(record)
    return finished_trials(study)


def _ask(
    study: optuna.Study, space: Space, search: SearchConfig, positions: range, drawn: Sequence[dict[str, Any]]
) -> list[optuna.Trial]:
    seed = int(np.random.SeedSequence([search.seed, positions.start]).generate_state(1)[0])
    adaptive = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(drawn))
    trials = []
    for position in positions:
        study.sampler = _Drawn(drawn[position]) if position < len(drawn) else adaptive
        trial = study.ask()
        trial.set_user_attr("position", position)
        # Sampled here, before the next trial is asked for: the sampler then knows what is in flight.
        _proposal(space, position, trial)
        trials.append(trial)
    return trials


def _proposal(space: Space, position: int, trial: optuna.Trial) -> Proposal:
    parameters = {
        name: trial.suggest_float(name, bounds.low, bounds.high, log=True) for name, bounds in space.ranges.items()
    }
    return Proposal(position, str(trial.suggest_categorical(BOUNDARY, space.boundaries)), parameters)


def _is_pruned(trial: optuna.Trial, history: Sequence[EpochRecord]) -> bool:
    trial.report(history[-1].val_loss, history[-1].epoch)
    return trial.should_prune()


def best_of(trials: Sequence[TrialRecord]) -> TrialRecord:
    """Return the completed trial with the lowest validation loss; of equals, the first.

    Raises:
        DivergedError: there is none, for every trial was pruned.
    """
    completed = [trial for trial in trials if trial.state == COMPLETE]
    if not completed:
        raise DivergedError(
            f"expected a trial that trains with finite losses, found all {len(trials)} pruned, the first because it "
            f"{trials[0].reason}; lower the range learning_rate in conf/strategy"
        )
    return min(completed, key=lambda trial: (trial.val_loss, trial.index))


def position_in_range(value: float, bounds: RangeConfig, *, num_trials: int) -> Edge:
    """Say whether a value lies at the edge of its range: `low`, `high` or `none`.

    The edge is the share of the logarithmic range that one trial stands for, `1 / num_trials`.
    """
    share = math.log(value / bounds.low) / math.log(bounds.high / bounds.low)
    margin = 1.0 / max(num_trials, 2)
    if share < margin:
        return "low"
    return "high" if share > 1.0 - margin else "none"
