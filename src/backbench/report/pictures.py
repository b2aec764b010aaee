"""Pictures of a benchmark as SVG text: the same bytes for the same values, in the colours of the page.

Ink becomes `currentColor` and the two other colours CSS variables, so that a picture follows light and dark.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from backbench.leaderboard import Leaderboard
from backbench.records import CellRecord

INK, ACCENT, SECOND = "#0a0b0c", "#2b6fd6", "#c2571a"
CSS_COLOURS = {INK: "currentColor", ACCENT: "var(--accent)", SECOND: "var(--second)"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "figure.subplot.top": 0.97,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "path.simplify": False,
    "text.parse_math": False,
}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
PANEL = {"width": 3.4, "height": 2.2, "left": 0.6, "right": 0.2, "bottom": 0.5}
WIDTH_INCHES = 5.2
MAX_CONFUSION_CLASSES = 60
MAX_NUMBERED_CLASSES = 12


@contextmanager
def _axes(width: float, height: float, name: str, *, left: float, right: float, bottom: float) -> Iterator[Axes]:
    """Yield axes of a new figure under this module's style, whatever the user's own is; all sizes in inches."""
    with style.context(["default", {**STYLE, "svg.hashsalt": name}]):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width)
        yield figure.subplots()


def _svg(axes: Axes, name: str, description: str) -> str:
    """Return `<svg>…</svg>` alone, with ids of its own and a text for those who do not see it."""
    buffer = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in CSS_COLOURS.items():
        text = text.replace(colour, variable)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def accuracy_picture(leaderboard: Leaderboard) -> str:
    """Draw every row's mean test accuracy with its 95 % interval, best on top; the pixels in the second colour."""
    rows = leaderboard.rows
    with _axes(WIDTH_INCHES, 0.6 + 0.42 * len(rows), "accuracy", left=0.1, right=0.6, bottom=0.5) as axes:
        for row in rows:
            colour = SECOND if row.is_baseline else ACCENT
            axes.plot([row.test_accuracy_low, row.test_accuracy_high], [row.rank] * 2, color=colour, linewidth=2)
            axes.plot(row.test_accuracy_mean, row.rank, "o", color=colour, markersize=6)
            axes.text(0.0, row.rank - 0.28, f"{row.backbone} · {row.strategy}", fontsize=10, va="bottom")
            axes.text(1.02, row.rank, f"{row.test_accuracy_mean:.3f}", fontsize=10, va="center")
        axes.set(
            xlim=(0, 1.0), ylim=(len(rows) + 0.5, 0.2), xlabel="test accuracy, with 95 % interval over test images"
        )
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        shown = "; ".join(f"{row.name} {row.test_accuracy_mean:.3f}" for row in rows)
        return _svg(axes, "accuracy", f"Test accuracy by row: {shown}")


def sweep_picture(record: CellRecord) -> str:
    """Draw one cell's trials: validation accuracy by learning rate; the chosen trial is ringed."""
    name = f"sweep-{record.cell}"
    with _axes(name=name, **PANEL) as axes:
        rates = [trial.learning_rate for trial in record.trials]
        axes.plot(rates, [trial.val_accuracy for trial in record.trials], "o", color=ACCENT, markersize=5, alpha=0.8)
        choice = record.best.choice
        axes.plot(choice.learning_rate, choice.val_accuracy, "o", color=SECOND, markersize=12, markerfacecolor="none")
        axes.set(xscale="log", xlabel="learning rate", ylabel="val accuracy", ylim=(0, 1.05))
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid()
        described = f"{len(rates)} trials of {record.cell}; chosen learning rate {choice.learning_rate:.2e}"
        return _svg(axes, name, f"{described} with val accuracy {choice.val_accuracy:.3f}")


def curves_picture(record: CellRecord) -> str:
    """Draw one cell's final models: training loss (dashed) and validation loss (solid) by epoch, a line a seed."""
    name = f"curves-{record.cell}"
    with _axes(name=name, **PANEL) as axes:
        for seed in record.seeds:
            epochs = [epoch.epoch for epoch in seed.history]
            axes.plot(epochs, [epoch.train_loss for epoch in seed.history], "--", color=SECOND, linewidth=1.2)
            axes.plot(epochs, [epoch.val_loss for epoch in seed.history], "-", color=ACCENT, linewidth=1.4)
        axes.set(xlabel="epoch", ylabel="loss, nats")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid()
        losses = ", ".join(f"seed {seed.seed} {seed.metrics['val_loss']:.3f}" for seed in record.seeds)
        return _svg(axes, name, f"Loss by epoch of {record.cell}; best val loss: {losses}")


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
    with _axes(WIDTH_INCHES, WIDTH_INCHES, "confusion", left=margin, right=0.1, bottom=margin) as axes:
        for true, predicted in np.argwhere(share > 0):
            value = float(share[true, predicted])
            axes.add_patch(Rectangle((predicted - 0.5, true - 0.5), 1, 1, facecolor=ACCENT, alpha=0.08 + 0.72 * value))
            if len(classes) <= MAX_NUMBERED_CLASSES and value >= 0.005:
                axes.text(predicted, true, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=9)
        axes.set_xticks(range(len(classes)), labels, rotation=0 if longest <= 3 else 90)
        axes.set_yticks(range(len(classes)), labels)
        half = len(classes) - 0.5
        axes.set(xlim=(-0.5, half), ylim=(half, -0.5), xlabel="predicted", ylabel="true", aspect="equal")
        return _svg(axes, "confusion", f"Confusion of {len(classes)} classes; mean recall {np.diag(share).mean():.3f}")
