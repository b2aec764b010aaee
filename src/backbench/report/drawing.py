"""Axes to draw on, and what was drawn as SVG text: the same bytes for the same values, in the colours of the page.

Ink becomes `currentColor` and the two other colours CSS variables, so that a picture follows light and dark.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

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


@contextmanager
def drawing(width: float, height: float, name: str, *, left: float, right: float, bottom: float) -> Iterator[Axes]:
    """Yield axes of a new figure under this module's style, whatever the user's own is; all sizes in inches."""
    with style.context(["default", {**STYLE, "svg.hashsalt": name}]):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width)
        yield figure.subplots()


def svg(axes: Axes, name: str, description: str) -> str:
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
