"""Draw the pictures of docs/formula-weights.md: `python -m pretraining.pictures` (minutes, on a busy machine).

One sheet per part of the source task, a class per column and a draw per row; one sheet of the mixture as it is
trained on; and the curves of the shipped runs.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from backbench.runtime.atomic_files import write_text
from pretraining.formula import mixture
from pretraining.formula.mixture import Part

PICTURES = Path("docs/pictures")
CURVES = Path("assets/weights/formula/curves")
SIDE_PIXELS = 64
NUM_DRAWS = 5
MAX_CLASSES = 12
GAP_PIXELS = 2


def _sheet(rows: list[list[np.ndarray]]) -> Image.Image:
    """Lay images of equal size out in rows, with white gaps."""
    step = SIDE_PIXELS + GAP_PIXELS
    sheet = np.full((len(rows) * step - GAP_PIXELS, len(rows[0]) * step - GAP_PIXELS, 3), 255, np.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row):
            sheet[top * step : top * step + SIDE_PIXELS, left * step : left * step + SIDE_PIXELS] = image
    return Image.fromarray(sheet)


def class_sheet(part: Part) -> Image.Image:
    """Draw a part's first classes alone, before colour and clutter: a class per column, a draw per row."""
    labels = range(min(part.num_classes, MAX_CLASSES))
    draws = [
        [part.draw(label, np.random.default_rng((draw, label)), SIDE_PIXELS) for label in labels]
        for draw in range(NUM_DRAWS)
    ]
    return _sheet([[(plane * 255).astype(np.uint8)[..., None].repeat(3, axis=2) for plane in row] for row in draws])


def mixture_sheet() -> Image.Image:
    """Draw images as they are trained on, in the order of their indices."""
    images, _ = mixture.draw(0, range(NUM_DRAWS * MAX_CLASSES), SIDE_PIXELS)
    return _sheet([list(row) for row in images.reshape(NUM_DRAWS, MAX_CLASSES, *images.shape[1:])])


def curves_picture(curves: Mapping[str, str]) -> str:
    """Plot the loss of single batches and source val accuracy by step: SVG text, the same bytes for the same curves.

    Args:
        curves: A backbone's name to the CSV of its run: `step`, `train_loss`, `val_accuracy` (may be empty).
    """
    with style.context(["default", {"svg.hashsalt": "curves", "svg.fonttype": "none", "font.family": "sans-serif"}]):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        losses, accuracies = figure.subplots(1, 2)
        for name, text in curves.items():
            rows = list(csv.DictReader(io.StringIO(text)))
            losses.plot([int(row["step"]) for row in rows], [float(row["train_loss"]) for row in rows], label=name)
            measured = [row for row in rows if row["val_accuracy"]]
            steps = [int(row["step"]) for row in measured]
            accuracies.plot(steps, [float(row["val_accuracy"]) for row in measured], label=name)
        losses.set(xlabel="step", ylabel="loss of the step's batch (nats)", ylim=(0, None))
        accuracies.set(xlabel="step", ylabel="source val accuracy", ylim=(0, 1))
        if curves:
            accuracies.legend(frameon=False, fontsize=8)
        for axes in (losses, accuracies):
            axes.grid(alpha=0.2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for part in mixture.PARTS:
        class_sheet(part).save(PICTURES / f"source-{part.name}.png", optimize=True)
    mixture_sheet().save(PICTURES / "source-mixture.png", optimize=True)
    curves = {file.stem: file.read_text(encoding="utf-8") for file in sorted(CURVES.glob("*.csv"))}
    write_text(PICTURES / "source-curves.svg", curves_picture(curves))
    print(f"pictures in {PICTURES}; docs/formula-weights.md shows them")


if __name__ == "__main__":
    main()
