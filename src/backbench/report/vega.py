"""Vega-Lite in the page: its code, colours that follow light and dark, and pictures made without a browser.

Colours are CSS variables of the page, which SVG takes as they are.
"""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from markupsafe import Markup, escape

Spec = dict[str, Any]

# What the specifications, and the templates in .dvc/plots, are written for.
VEGA_LITE = "6.4"
NUM_SERIES = 6
SERIES = [f"var(--series-{number})" for number in range(1, NUM_SERIES + 1)]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
INK, SOFT, LINE, ACCENT, SECOND = (f"var(--{name})" for name in ("ink", "soft", "line", "accent", "second"))
LABELS: Spec = {"labelColor": INK, "labelFontSize": 12}
TITLES: Spec = {"titleColor": INK, "titleFontSize": 12, "titleFontWeight": "normal"}
CONFIG: Spec = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {**LABELS, **TITLES, "domainColor": SOFT, "tickColor": SOFT, "gridColor": LINE},
    "legend": {**LABELS, **TITLES, "labelLimit": 240},
}
STATIC_WIDTH_PIXELS = 640
PLOTS_PAGE = Path(__file__).with_name("plots_page.html")


@cache
def vega_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one ES module, which asks no network for anything.

    Raises:
        AssertionError: the bundle would end the script element that it stands in.
    """
    bundle = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
    assert "</script" not in bundle.lower()
    assert "<!--" not in bundle
    return bundle


def plots_page_template() -> str:
    """Return the page that `dvc plots show --html-template` fills, with its JavaScript inside, 0.9 MB.

    DVC puts its plots in place of {plot_divs}; {scripts}, its addresses in the network, is left out.
    """
    return PLOTS_PAGE.read_text(encoding="utf-8").replace("{vega_bundle}", vega_bundle())


def json_in_html(content: Any) -> Markup:
    """Spell a value as JSON that no script element is ended by."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def static_svg(spec: Spec, values: Sequence[Spec]) -> Markup:
    """Draw a specification of some data without a browser: SVG text, for pages without scripts."""
    width = STATIC_WIDTH_PIXELS if spec["width"] == "container" else spec["width"]
    text = str(vl_convert.vegalite_to_svg({**spec, "width": width, "data": {"values": list(values)}}))
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(spec["description"])}"', 1))


def numeric(field: str, *, title: str | None = None, scale: Spec | None = None, **axis: Any) -> Spec:
    """Specify a place by a number of the data; `axis` is what more its axis has beside the title."""
    return {"field": field, "type": "quantitative", "scale": scale or {}, "axis": {"title": title or field, **axis}}


def digits(value: float | None) -> float | None:
    """Keep as many digits as a chart shows; what is not finite has no place in it."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
