"""What LogME said of the backbones beside what was measured, and how far to trust it, in words."""

from dataclasses import dataclass

from scipy import stats

from backbench.comparison.findings import Foretold, Transferability
from backbench.evaluation.statistics import CONFIDENCE


@dataclass(frozen=True)
class ForetoldRow:
    """A backbone with its place by LogME and its place by measured accuracy; 1 is the best, equals share a place."""

    foretold: Foretold
    foretold_rank: int
    measured_rank: int


def foretold_rows(found: Transferability) -> list[ForetoldRow]:
    """Rank the backbones by LogME and by what was measured, in the order of LogME."""
    foretold = stats.rankdata([-each.log_evidence for each in found.backbones], method="min")
    measured = stats.rankdata([-each.test_accuracy for each in found.backbones], method="min")
    return [
        ForetoldRow(each, int(first), int(second))
        for each, first, second in zip(found.backbones, foretold, measured, strict=True)
    ]


def agreement(found: Transferability) -> str:
    """Say how well LogME's order is the measured one, and whether chance would do as well."""
    num_backbones = len(found.backbones)
    if found.spearman is None or found.kendall is None:
        return f"A rank correlation needs at least three backbones that differ; here are {num_backbones}."
    by_chance = stats.kendalltau(
        [each.log_evidence for each in found.backbones], [each.test_accuracy for each in found.backbones]
    ).pvalue
    verdict = f"With {num_backbones} backbones, orders drawn at random agree or disagree as strongly in "
    verdict += f"{_percent(by_chance)} of cases"
    if by_chance < 1 - CONFIDENCE:
        verdict += ", so chance is no likely reason."
        verdict += " LogME foretold the order." if found.kendall > 0 else " LogME foretold the opposite order."
    else:
        verdict += ": too few, or too mixed, to say whether LogME foretells the order here."
    return f"Rank correlation: Spearman {found.spearman:+.2f}, Kendall {found.kendall:+.2f}. {verdict}"


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
