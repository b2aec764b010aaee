"""Pictures of a benchmark: accuracy by row, what strategies gain, and what is mistaken for what."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from backbench.comparison.findings import StrategyEffect
from backbench.comparison.leaderboard import Leaderboard
from backbench.report.drawing import ACCENT, INK, SECOND, drawing, svg

WIDTH_INCHES = 5.2
MAX_CONFUSION_CLASSES = 60
MAX_DRAWN_ROWS = 30
MAX_NUMBERED_CLASSES = 12


def accuracy_picture(leaderboard: Leaderboard) -> str:
    """Draw every row's mean test accuracy with its 95 % interval, highest on top; the pixels in the second colour.

    Only the first 30 are drawn: a longer picture is not looked at, and the table has them all.
    """
    rows = [entry.row for entry in leaderboard.by_test[:MAX_DRAWN_ROWS]]
    with drawing(WIDTH_INCHES, 0.6 + 0.42 * len(rows), "accuracy", left=0.1, right=0.6, bottom=0.5) as axes:
        for row in rows:
            colour = SECOND if row.is_baseline else ACCENT
            axes.plot([row.test_accuracy_low, row.test_accuracy_high], [row.test_rank] * 2, color=colour, linewidth=2)
            axes.plot(row.test_accuracy_mean, row.test_rank, "o", color=colour, markersize=6)
            axes.text(0.0, row.test_rank - 0.28, f"{row.backbone} · {row.strategy}", fontsize=10, va="bottom")
            axes.text(1.02, row.test_rank, f"{row.test_accuracy_mean:.3f}", fontsize=10, va="center")
        axes.set(xlim=(0, 1.0), ylim=(len(rows) + 0.5, 0.2), xlabel="test accuracy, with 95 % interval")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        shown = "; ".join(f"{row.name} {row.test_accuracy_mean:.3f}" for row in rows)
        return svg(axes, "accuracy", f"Test accuracy by row: {shown}")


def confusion_picture(share: np.ndarray, classes: Sequence[str]) -> str | None:
    """Draw the share of each true class (row) that is predicted as each class (column).

    Args:
        share: float `(num_classes, num_classes)`; rows sum to 1, or to 0 where a class has no test image.
        classes: Names in the order of the labels.

    Returns:
        The picture, or None where there are more classes than a picture shows.
    """
    if len(classes) > MAX_CONFUSION_CLASSES:
        return None
    labels = [name if len(name) <= 12 else f"{name[:11]}…" for name in classes]
    longest = max(map(len, labels))
    margin = 0.5 + 0.08 * longest
    with drawing(WIDTH_INCHES, WIDTH_INCHES, "confusion", left=margin, right=0.1, bottom=margin) as axes:
        for true, predicted in np.argwhere(share > 0):
            value = float(share[true, predicted])
            axes.add_patch(Rectangle((predicted - 0.5, true - 0.5), 1, 1, facecolor=ACCENT, alpha=0.08 + 0.72 * value))
            if len(classes) <= MAX_NUMBERED_CLASSES and value >= 0.005:
                axes.text(predicted, true, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=9)
        axes.set_xticks(range(len(classes)), labels, rotation=0 if longest <= 3 else 90)
        axes.set_yticks(range(len(classes)), labels)
        half = len(classes) - 0.5
        axes.set(xlim=(-0.5, half), ylim=(half, -0.5), xlabel="predicted", ylabel="true", aspect="equal")
        return svg(axes, "confusion", f"Confusion of {len(classes)} classes; mean recall {np.diag(share).mean():.3f}")


def effects_picture(effects: Sequence[StrategyEffect]) -> str:
    """Draw what a strategy gains over another, by backbone, with 95 % intervals; faint where no gain is shown."""
    effects = effects[:MAX_DRAWN_ROWS]
    with drawing(WIDTH_INCHES, 0.7 + 0.45 * len(effects), "effects", left=0.1, right=0.1, bottom=0.5) as axes:
        axes.axvline(0, color=INK, linewidth=0.7)
        for place, effect in enumerate(effects):
            low, high = 100 * effect.gain.low, 100 * effect.gain.high
            strength = 1.0 if effect.is_shown else 0.45
            axes.plot([low, high], [place] * 2, color=ACCENT, linewidth=2, alpha=strength)
            axes.plot(100 * effect.gain.estimate, place, "o", color=ACCENT, markersize=6, alpha=strength)
            name = f"{effect.backbone}: {effect.strategy} over {effect.over}"
            axes.text(0.0, place - 0.24, name, transform=axes.get_yaxis_transform(), fontsize=9, va="bottom")
        axes.set(ylim=(len(effects) - 0.5, -0.8), xlabel="gain in test accuracy, points, with 95 % interval")
        axes.margins(x=0.06)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        return svg(axes, "effects", "; ".join(f"{effect.backbone}: {effect.words}" for effect in effects))
