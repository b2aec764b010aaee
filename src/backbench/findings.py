"""What a leaderboard says, in words and plain values: the answer, strategies compared, what features foretold."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from backbench.leaderboard import ACCURACY, Entry, Leaderboard, Row
from backbench.statistics import Interval
from backbench.uncertainty import SIGNIFICANCE, PairedComparison, adjusted_p_values

FEATURE_EXTRACTION = "feature_extraction"
P_VALUE_DIGITS = 4
MOST_NAMED = 3


@dataclass(frozen=True)
class StrategyEffect:
    """What one strategy gains over another on the same backbone, in test accuracy.

    `p_value` is adjusted for all of these questions together, one per backbone and pair of strategies, `num_questions`.
    """

    backbone: str
    strategy: str
    over: str
    gain: Interval
    p_value: float
    num_questions: int

    @property
    def is_shown(self) -> bool:
        return self.p_value < SIGNIFICANCE

    @property
    def words(self) -> str:
        by = f"{points(abs(self.gain.estimate))}{_range(self.gain)}"
        if self.is_shown:
            return f"{self.strategy} {'gains' if self.gain.estimate > 0 else 'loses'} {by} over {self.over}"
        if self.gain.includes_zero:
            return f"no difference between {self.strategy} and {self.over} is shown{_range(self.gain)}"
        seems = "gain" if self.gain.estimate > 0 else "lose"
        return f"{self.strategy} seems to {seems} {by} over {self.over}, too little for {self.num_questions} at once"


@dataclass(frozen=True)
class Foretold:
    """LogME of a backbone's pretrained features beside the test accuracy of feature extraction on them."""

    backbone: str
    log_evidence: float
    test_accuracy: float


@dataclass(frozen=True)
class Transferability:
    """How LogME ranks the backbones, and how that agrees with what was measured; None of fewer than three."""

    backbones: tuple[Foretold, ...]
    spearman: float | None
    kendall: float | None


def points(share: float) -> str:
    """Spell a share as points of a hundred: `1.3 points`."""
    return f"{100 * share:.1f} points"


def _range(interval: Interval) -> str:
    return f" ({100 * interval.low:+.1f} to {100 * interval.high:+.1f} points)"


def called(row: Row) -> str:
    """Name a row in a sentence."""
    return "logistic regression on raw pixels" if row.is_baseline else f"{row.backbone} with {row.strategy}"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does, two of them where there are many."""
    shown = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def answer(leaderboard: Leaderboard) -> str:
    """Say which row is best, which others no difference to it is shown of, and which cells failed, a sentence each."""
    best = leaderboard.best.row
    seeds = "one seed" if best.num_seeds == 1 else f"{best.num_seeds} seeds"
    against = "" if best.is_baseline else f", against {leaderboard.baseline.row.test_accuracy_mean:.3f} from raw pixels"
    name = called(best)
    first = f"{name[0].upper() + name[1:] if best.is_baseline else name} is best: test accuracy"
    first += f" {best.accuracy_text} (sd, {seeds}){against}."
    failed = f" There is no row of {listed(list(leaderboard.failed))}, which failed." if leaderboard.failed else ""
    return f"{first} {_ahead(leaderboard)}{failed}"


def _ahead(leaderboard: Leaderboard) -> str:
    tied = [called(row) for row in leaderboard.tied[1:]]
    second = leaderboard.entries[1]
    assert second.behind is not None
    if not tied:
        return f"It is ahead of {called(second.row)} by {points(second.behind.difference.estimate)}" + (
            f"{_range(second.behind.difference)}, and of every other."
        )
    return f"No difference to {listed(tied)} is shown."


def strategy_effects(leaderboard: Leaderboard) -> list[StrategyEffect]:
    """Compare the strategies of every backbone, in the order of the leaderboard's backbones."""
    by_backbone: dict[str, list[Row]] = {}
    for row in leaderboard.rows:
        by_backbone.setdefault(row.backbone, []).append(row)
    # Feature extraction is what others are held against.
    ordered = [
        sorted(rows, key=lambda row: (row.strategy != FEATURE_EXTRACTION, row.strategy))
        for rows in by_backbone.values()
    ]
    asked = [pair for rows in ordered for pair in combinations(rows, 2)]
    compared = {frozenset((pair.first, pair.second)): pair for pair in leaderboard.comparisons}
    pairs = [compared[frozenset((row.name, over.name))] for over, row in asked]
    adjusted = adjusted_p_values([pair.p_value for pair in pairs])
    return [
        StrategyEffect(row.backbone, row.strategy, over.strategy, _gain(row, pair), rounded(p_value), len(asked))
        for (over, row), pair, p_value in zip(asked, pairs, adjusted, strict=True)
    ]


def _gain(row: Row, pair: PairedComparison) -> Interval:
    found = pair.difference
    return found if pair.first == row.name else Interval(0.0 - found.estimate, 0.0 - found.high, 0.0 - found.low)


def transferability(entries: Sequence[Entry]) -> Transferability:
    """Hold LogME against the accuracy of feature extraction, or of the one strategy there is.

    Source:
        Rank correlations: Spearman 1904 and Kendall 1938; `scipy.stats`.
    """
    chosen: dict[str, Foretold] = {}
    for entry in sorted(entries, key=lambda entry: entry.row.strategy != FEATURE_EXTRACTION):
        evidence, row = entry.finished.metrics.log_evidence, entry.row
        if evidence is not None and row.backbone not in chosen:
            chosen[row.backbone] = Foretold(row.backbone, evidence, row.test_accuracy_mean)
    found = sorted(chosen.values(), key=lambda each: -each.log_evidence)
    foretold, measured = [each.log_evidence for each in found], [each.test_accuracy for each in found]
    if len(set(foretold)) < 3 or len(set(measured)) < 2:
        return Transferability(tuple(found), None, None)
    spearman, kendall = stats.spearmanr(foretold, measured), stats.kendalltau(foretold, measured)
    return Transferability(tuple(found), round(float(spearman.statistic), 6), round(float(kendall.statistic), 6))


def summary(leaderboard: Leaderboard) -> dict[str, Any]:
    """Spell the result as plain values for `results/summary.json`."""
    best, second = leaderboard.best.row, leaderboard.entries[1]
    assert second.behind is not None
    by_backbone: dict[str, dict[str, float]] = {}
    for row in sorted(leaderboard.rows, key=lambda row: row.name):
        by_backbone.setdefault(row.backbone, {})[row.strategy] = row.test_accuracy_mean
    return {
        "best": {
            "backbone": best.backbone,
            "strategy": best.strategy,
            "test_accuracy_mean": best.test_accuracy_mean,
            "test_accuracy_sd": best.test_accuracy_sd,
        },
        "tied_with_best": [row.name for row in leaderboard.tied[1:]],
        "ahead_of_second": {"second": second.row.name, **asdict(second.behind.difference)},
        "baseline": leaderboard.baseline.row.test_accuracy_mean,
        "strategies": [
            {**asdict(each), "is_shown": each.is_shown, "words": each.words} for each in strategy_effects(leaderboard)
        ],
        "transferability": asdict(transferability(leaderboard.entries)),
        "num_cells": len(leaderboard.entries) - 1,
        "failed": dict(leaderboard.failed),
        "num_test_images": leaderboard.best.num_images,
        "test_accuracy_mean": by_backbone,
    }


COMPARISON_COLUMNS = ("first", "second", "difference", "low", "high", "p_value", "adjusted_p_value", "is_shown")


def comparison_rows(leaderboard: Leaderboard) -> list[Mapping[str, Any]]:
    """Spell the comparison of every two rows for `results/comparisons.csv`: test accuracy of the first minus second."""
    return [
        {
            "first": pair.first,
            "second": pair.second,
            "difference": pair.difference.estimate,
            "low": pair.difference.low,
            "high": pair.difference.high,
            "p_value": rounded(pair.p_value),
            "adjusted_p_value": rounded(pair.adjusted_p_value),
            "is_shown": pair.is_shown,
        }
        for pair in leaderboard.comparisons
    ]


INTERVAL_COLUMNS = ("backbone", "strategy", "metric", "mean", "low", "high")


def interval_rows(leaderboard: Leaderboard) -> list[Mapping[str, Any]]:
    """Spell every headline number with its 95 % interval for `results/intervals.csv`."""
    return [
        {
            "backbone": entry.row.backbone,
            "strategy": entry.row.strategy,
            "metric": f"test_{name}",
            "mean": interval.estimate,
            "low": interval.low,
            "high": interval.high,
        }
        for entry in leaderboard.entries
        for name, interval in sorted(entry.intervals.items(), key=lambda item: (item[0] != ACCURACY, item[0]))
    ]


def rounded(p_value: float) -> float:
    """Keep the digits of a p-value that mean something."""
    return float(np.format_float_positional(p_value, P_VALUE_DIGITS, unique=False, fractional=False))
