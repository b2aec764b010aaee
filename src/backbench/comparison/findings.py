"""What a leaderboard says beside its answer, as values and tables: strategies compared, what features foretold."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from backbench.comparison.answering import RULE, class_warning, points, spread
from backbench.comparison.leaderboard import ACCURACY, Entry, Leaderboard
from backbench.comparison.uncertainty import SIGNIFICANCE, adjusted_p_values, difference, selection_optimism
from backbench.evaluation.statistics import Interval

FEATURE_EXTRACTION = "feature_extraction"
P_VALUE_DIGITS = 4


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
        by = f"{points(abs(self.gain.estimate))}{spread(self.gain)}"
        if self.is_shown:
            return f"{self.strategy} {'gains' if self.gain.estimate > 0 else 'loses'} {by} over {self.over}"
        if self.gain.includes_zero:
            return f"no difference between {self.strategy} and {self.over} is shown{spread(self.gain)}"
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


def strategy_effects(leaderboard: Leaderboard) -> list[StrategyEffect]:
    """Compare the strategies of every backbone, in the order of the leaderboard's backbones."""
    by_backbone: dict[str, list[Entry]] = {}
    for entry in leaderboard.entries:
        by_backbone.setdefault(entry.row.backbone, []).append(entry)
    # Feature extraction is what others are held against.
    ordered = [
        sorted(entries, key=lambda entry: (entry.row.strategy != FEATURE_EXTRACTION, entry.row.strategy))
        for entries in by_backbone.values()
    ]
    asked = [pair for entries in ordered for pair in combinations(entries, 2)]
    gains = [difference(entry.test_accuracy, over.test_accuracy) for over, entry in asked]
    adjusted = adjusted_p_values([gain.p_value for gain in gains])
    return [
        StrategyEffect(
            entry.row.backbone, entry.row.strategy, over.row.strategy, gain.interval, rounded(p_value), len(asked)
        )
        for (over, entry), gain, p_value in zip(asked, gains, adjusted, strict=True)
    ]


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
    chosen, best = leaderboard.chosen.row, leaderboard.by_test[0].row
    by_backbone: dict[str, dict[str, float]] = {}
    for row in sorted(leaderboard.rows, key=lambda row: row.name):
        by_backbone.setdefault(row.backbone, {})[row.strategy] = row.test_accuracy_mean
    accuracies = {entry.row.name: entry.test_accuracy for entry in leaderboard.entries}
    return {
        "chosen": {
            "backbone": chosen.backbone,
            "strategy": chosen.strategy,
            "val_loss_mean": chosen.val_loss_mean,
            "test_accuracy_mean": chosen.test_accuracy_mean,
            "test_accuracy_sd": chosen.test_accuracy_sd,
            "test_balanced_accuracy_mean": chosen.test_balanced_accuracy_mean,
            "test_rank": chosen.test_rank,
            "worst_class": chosen.worst_class,
            "worst_class_recall": chosen.worst_class_recall,
        },
        "chosen_by": RULE,
        "warning": class_warning(leaderboard.chosen),
        "not_significantly_different": [row.name for row in leaderboard.similar],
        "significantly_better_on_test": [each.row.name for each in leaderboard.by_test if each.is_better_on_test],
        "best_on_test": {
            "backbone": best.backbone,
            "strategy": best.strategy,
            "test_accuracy_mean": best.test_accuracy_mean,
            "selection_optimism": selection_optimism(accuracies),
        },
        "baseline": leaderboard.baseline.row.test_accuracy_mean,
        "strategies": [
            {**asdict(each), "is_shown": each.is_shown, "words": each.words} for each in strategy_effects(leaderboard)
        ],
        "transferability": asdict(transferability(leaderboard.entries)),
        "num_cells": len(leaderboard.entries) - 1,
        "failed": dict(leaderboard.failed),
        "num_test_images": leaderboard.chosen.num_images,
        "test_accuracy_mean": by_backbone,
    }


COMPARISON_COLUMNS = ("first", "second", "difference", "low", "high", "p_value", "adjusted_p_value", "is_shown")


def comparison_rows(leaderboard: Leaderboard) -> list[Mapping[str, Any]]:
    """Spell the chosen row against every other for `results/comparisons.csv`: its test accuracy minus the other's."""
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
