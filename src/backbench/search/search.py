"""What to try next, and when to stop trying it: pure functions of a search's configuration and of finished trials.

Trials come in rounds. Those of a round are proposed together and know nothing of each other: neither the sampler nor
the pruner looks at a trial of its own round. So it does not matter in which order, in which process and by how many
workers a round is run. Samplers are seeded afresh for every round, so that a resumed study proposes what an
uninterrupted one would.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from backbench.config.search_config import QUASI_RANDOM, TPE, PrunerConfig, SearchConfig
from backbench.config.strategy_config import RangeConfig
from backbench.results.records import COMPLETE, Edge, EpochRecord, TrialRecord
from backbench.runtime.errors import DivergedError

BOUNDARY = "boundary"


@dataclass(frozen=True)
class Space:
    """What is searched: ranges on logarithmic scales, and one of the freeze boundaries."""

    ranges: dict[str, RangeConfig]
    boundaries: tuple[str, ...]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The same in Optuna's words; a range of one value, which may be zero, needs no scale."""
        floats = {
            name: FloatDistribution(bounds.low, bounds.high, log=not bounds.is_one_value)
            for name, bounds in self.ranges.items()
        }
        return {**floats, BOUNDARY: CategoricalDistribution(self.boundaries)}


@dataclass(frozen=True)
class Proposal:
    """A trial to be run: its position in the study, and its parameters."""

    position: int
    boundary: str
    parameters: dict[str, float]


def rounds(search: SearchConfig, *, prunes: bool) -> list[range]:
    """Split the positions of a study into rounds; all of them are one where nothing learns from earlier trials.

    Args:
        search: How many trials there are, and how many are proposed at once.
        prunes: Trials of this cell may be pruned.
    """
    size = search.trials_per_round if prunes or search.sampler == TPE else search.num_trials
    return [range(start, min(start + size, search.num_trials)) for start in range(0, search.num_trials, size)]


def batches(positions: range, size: int) -> list[range]:
    """Split the positions of a round into what is run at once."""
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def proposals(search: SearchConfig, space: Space, positions: range, earlier: Sequence[TrialRecord]) -> list[Proposal]:
    """Propose the trials of a round.

    Args:
        search: The sampler and its seed.
        space: Names the parameters and their ranges.
        positions: Of the round.
        earlier: Every trial of the rounds before, by position.
    """
    num_drawn = search.num_trials if search.sampler == QUASI_RANDOM else min(search.startup_trials, search.num_trials)
    drawn = quasi_random_points(space, num_drawn, search.seed)
    if positions.stop <= num_drawn:
        return [_proposal(position, drawn[position]) for position in positions]
    study = _study_of(space, earlier)
    seed = int(np.random.SeedSequence([search.seed, positions.start]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(1, min(num_drawn, len(earlier))))
    proposed = []
    for position in positions:
        if position < num_drawn:
            study.enqueue_trial(drawn[position])
        # It stays running, so that the sampler keeps away from what is in flight.
        proposed.append(_proposal(position, study.ask(space.distributions).params))
    return proposed


def _proposal(position: int, point: dict[str, Any]) -> Proposal:
    parameters = dict(point)
    return Proposal(position, str(parameters.pop(BOUNDARY)), parameters)


def _study_of(space: Space, records: Sequence[TrialRecord]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    study.add_trials([finished_trial(record, space.distributions) for record in records])
    return study


def finished_trial(record: TrialRecord, distributions: dict[str, BaseDistribution], **attributes: Any) -> FrozenTrial:
    """Spell a finished trial as Optuna stores one, its epochs and further attributes with it."""
    return optuna.trial.create_trial(
        state=TrialState[record.state],
        value=record.val_loss,
        params={name: getattr(record, name) for name in distributions},
        distributions=distributions,
        user_attrs=attributes,
        intermediate_values={epoch.epoch: epoch.val_loss for epoch in record.history},
    )


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
        name: _value_at(share, bounds) for (name, bounds), share in zip(space.ranges.items(), shares, strict=False)
    }
    chosen = int(shares[-1] * len(space.boundaries)) if len(space.boundaries) > 1 else 0
    return {**point, BOUNDARY: space.boundaries[chosen]}


def _value_at(share: float, bounds: RangeConfig) -> float:
    if bounds.is_one_value:
        return bounds.low
    # In a narrow range, rounding may lead out of it.
    return min(bounds.high, float(bounds.low * (bounds.high / bounds.low) ** share))


class Pruning:
    """Says whether a trial of one round is worth going on with, by the completed trials of the rounds before."""

    def __init__(self, config: PrunerConfig | None, space: Space, earlier: Sequence[TrialRecord]) -> None:
        self._pruner = None
        if config is not None:
            self._pruner = optuna.pruners.PercentilePruner(
                config.percentile, n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup_epochs
            )
            self._study = _study_of(space, earlier)

    def __call__(self, history: Sequence[EpochRecord]) -> bool:
        """Say whether a trial with these epochs so far should stop."""
        if self._pruner is None:
            return False
        losses = {epoch.epoch: epoch.val_loss for epoch in history}
        running = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values=losses)
        return bool(self._pruner.prune(self._study, running))


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

    The edge is the share of the logarithmic range that one trial stands for, `1 / num_trials`. A range of one value has
    none.
    """
    if bounds.is_one_value:
        return "none"
    share = math.log(value / bounds.low) / math.log(bounds.high / bounds.low)
    margin = 1.0 / max(num_trials, 2)
    if share < margin:
        return "low"
    return "high" if share > 1.0 - margin else "none"
