"""Numbers with their 95 % intervals as pictures: accuracy by row, and what strategies gain."""

from collections.abc import Sequence

from markupsafe import Markup

from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.strategy_effects import StrategyEffect
from backbench.evaluation.statistics import Interval
from backbench.report.vega import ACCENT, CONFIG, INK, SECOND, Spec, static_svg

MAX_DRAWN_ROWS = 30
WIDTH_PIXELS = 440


def accuracy_picture(leaderboard: Leaderboard) -> Markup:
    """Draw every row's mean test accuracy with its 95 % interval, highest on top; the pixels in the second colour.

    Only the first 30 are drawn: a longer picture is not looked at, and the table has them all.
    """
    rows = leaderboard.by_test[:MAX_DRAWN_ROWS]
    shown = "; ".join(f"{row.name} {row.test_accuracy:.3f}" for row in rows)
    spec = _intervals("test accuracy, with 95 % interval", {"domain": [0, 1]}, f"Test accuracy by row: {shown}")
    lines = [
        _line(f"{row.backbone} · {row.strategy}", row.interval, SECOND if row.is_baseline else ACCENT)
        | {"text": f"{row.test_accuracy:.3f}"}
        for row in rows
    ]
    return static_svg(spec, [{**line, "place": place} for place, line in enumerate(lines)])


def effects_picture(effects: Sequence[StrategyEffect]) -> Markup:
    """Draw what a strategy gains over another, by backbone, with 95 % intervals; faint where it is not significant."""
    effects = effects[:MAX_DRAWN_ROWS]
    shown = "; ".join(f"{effect.backbone}: {effect.words}" for effect in effects)
    spec = _intervals("gain in test accuracy, points, with 95 % interval", {"padding": 12}, shown)
    lines = [
        _line(f"{each.backbone}: {each.strategy} over {each.over}", each.gain, factor=100)
        | {"strength": 1.0 if each.is_significant else 0.45}
        for each in effects
    ]
    return static_svg(spec, [{**line, "place": place} for place, line in enumerate(lines)])


def _line(name: str, interval: Interval, colour: str = ACCENT, *, factor: int = 1) -> Spec:
    low, high, estimate = factor * interval.low, factor * interval.high, factor * interval.estimate
    ends = {"low": low, "high": high, "estimate": estimate}
    return {"name": name, **ends, "colour": colour, "strength": 1.0, "text": ""}


def _intervals(title: str, scale: Spec, description: str) -> Spec:
    """Specify a line per `place`: its name above its interval, its text at the right, and a rule at 0."""
    x = {
        "type": "quantitative",
        "scale": {"nice": False, **scale},
        "axis": {"title": title, "tickCount": 5, "grid": True},
    }
    drawn = {"color": {"field": "colour", "scale": None}, "opacity": {"field": "strength", "scale": None}}
    text = {"type": "text", "align": "left", "color": INK, "fontSize": 12}
    return {
        "description": description,
        "config": CONFIG,
        "width": WIDTH_PIXELS,
        "height": {"step": 34},
        "encoding": {"y": {"field": "place", "type": "ordinal", "axis": None}},
        "layer": [
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "color": INK},
                "encoding": {"x": {"datum": 0}, "y": None},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2.5},
                "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, **drawn},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60},
                "encoding": {"x": {**x, "field": "estimate"}, **drawn},
            },
            {"mark": {**text, "dy": -13}, "encoding": {"x": {"value": 2}, "text": {"field": "name"}}},
            {"mark": {**text, "dx": 6}, "encoding": {"x": {"value": "width"}, "text": {"field": "text"}}},
        ],
    }
