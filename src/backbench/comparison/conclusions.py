"""The answer that a leaderboard gives, in sentences: what is chosen, what that may hide, and what test says of it."""

from collections.abc import Callable, Sequence

from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.comparison.spread import Interval
from backbench.comparison.uncertainty import selection_optimism

RULE = "lowest validation loss, mean over the seeds of the final models"
MOST_NAMED = 3


def points(share: float) -> str:
    """Spell a share as points of a hundred: `1.3 points`."""
    return f"{100 * share:.1f} points"


def spread(interval: Interval) -> str:
    """Spell the ends of an interval of shares behind its estimate: ` (+0.4 to +2.2 points)`."""
    return f" ({100 * interval.low:+.1f} to {100 * interval.high:+.1f} points)"


def called(row: Row) -> str:
    """Name a row in a sentence."""
    return "logistic regression on raw pixels" if row.is_baseline else f"{row.backbone} with {row.strategy}"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does, two of them where there are many."""
    shown = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def answer(leaderboard: Leaderboard, spelt: Callable[[str], str] = str) -> str:
    """Say which row is chosen, what it hides, how it did on test and which rows did better or as well there.

    Args:
        leaderboard: Ranked.
        spelt: Spells the name of a class, for where a folder's name could be read as markup.
    """
    row = leaderboard.chosen
    name, warning = called(row), class_warning(row, spelt)
    seeds = "one seed" if row.metrics.num_seeds == 1 else f"{row.metrics.num_seeds} seeds"
    against = "" if row.is_baseline else f", against {leaderboard.baseline.test_accuracy:.3f} from raw pixels"
    but = f", but it {warning}" if warning else ""
    said = [
        f"{name[0].upper() + name[1:] if row.is_baseline else name} is chosen by validation{but}.",
        f"Its test accuracy is {row.accuracy_text} (sd, {seeds}){against}.",
        *_beside_others(leaderboard),
    ]
    if leaderboard.failed:
        said.append(f"There is no row of {listed(list(leaderboard.failed))}, which failed.")
    return " ".join(said)


def class_warning(row: Row, spelt: Callable[[str], str] = str) -> str:
    """Say how seldom a row finds its worst class, where its accuracy may hide that; else say nothing.

    It may where classes are uneven, or a class is found less often than chance would. The words go on after "it".
    """
    recalls, worst = row.recalls, row.recalls.worst
    if not recalls.may_be_hidden:
        return ""
    balanced = f"(balanced accuracy {row.balanced_accuracy:.3f})"
    found = f"{100 * (worst.recall or 0.0):.1f} % of its {worst.num_images:,} test images"
    if not recalls.below_chance:
        return f"finds the class {spelt(worst.name)}, the worst of uneven classes, in {found} {balanced}"
    others = len(recalls.below_chance) - 1
    as_well = f" (as it does {others} more)" if others else ""
    return f"finds the class {spelt(worst.name)} in only {found}, less often than chance would{as_well} {balanced}"


def rule(leaderboard: Leaderboard) -> str:
    """Say what chose, what did not, and how far the best on test flatters itself."""
    lowest, num_rows = leaderboard.chosen.val_loss, len(leaderboard.rows)
    in_folds = "" if leaderboard.folds is None else f" {folds_said(leaderboard.folds)}"
    optimism = selection_optimism({row.name: row.resampled for row in leaderboard.rows})
    return (
        f"Chosen by the {RULE}: {lowest:.3f}. Test images choose nothing: of {num_rows} rows the best on test looks "
        f"about {points(max(0.0, optimism))} better than it is.{in_folds}"
    )


def folds_said(folds: int) -> str:
    """Say what numbers of folds are of."""
    return (
        f"{folds} folds: each image is tested once per seed, by a model that neither trained nor was chosen on it, and "
        "each fold has its own search."
    )


def _beside_others(leaderboard: Leaderboard) -> list[str]:
    better = [row for row in leaderboard.by_test if row.is_better_on_test]
    best = leaderboard.by_test[0]
    said = []
    if better:
        names = [called(row) for row in better]
        verb, which = ("is", "") if len(names) == 1 else ("are", f"{names[0]} ")
        said.append(f"On test {listed(names)} {verb} significantly better, {which}{_ahead(better[0])}.")
    elif best is not leaderboard.chosen:
        said.append(f"The best on test is {called(best)}, {_ahead(best)}.")
    else:
        said.append("It is the best on test too.")
    if leaderboard.similar:
        names = [called(row) for row in leaderboard.similar]
        said.append(f"On test the chosen does not differ significantly from {listed(names)}.")
    elif not better and len(leaderboard.rows) > 1:
        second = leaderboard.by_test[1]
        assert second.on_test is not None
        gap = second.on_test.difference
        said.append(
            f"It is significantly ahead of every other there: of {called(second)} by {points(gap.estimate)}"
            f"{spread(gap)}."
        )
    return said


def _ahead(row: Row) -> str:
    return f"by {points(row.beside_chosen.estimate)}{spread(row.beside_chosen)}"


def spelt_rows(leaderboard: Leaderboard, spelt: Callable[[str], str] = str) -> list[dict[str, str]]:
    """Spell every row by the headings of a small table; where an accuracy may hide a class, with what shows it."""
    return [_spelt(row, spelt, with_classes=leaderboard.may_hide_a_class) for row in leaderboard.rows]


def _spelt(row: Row, spelt: Callable[[str], str], *, with_classes: bool) -> dict[str, str]:
    classes = {"balanced accuracy": f"{row.balanced_accuracy:.3f}", "worst class": row.recalls.worst.text(spelt)}
    return {
        "#": str(row.rank),
        "backbone": row.backbone,
        "strategy": row.strategy,
        "val loss": f"{row.val_loss:.3f}",
        "test accuracy": row.accuracy_text,
        **(classes if with_classes else {}),
        "95 % interval": row.interval_text,
        "val accuracy": f"{row.val_accuracy:.3f}",
        "learning rate": row.learning_rate_text,
    }
