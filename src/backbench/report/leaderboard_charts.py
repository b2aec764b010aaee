"""Pictures of the whole leaderboard: accuracy by row, what strategies gain, both with intervals; accuracy by cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from backbench.comparison.choosing import LATENCY, SECONDS, SIZE, pareto_front
from backbench.comparison.leaderboard import Leaderboard, value_at
from backbench.comparison.spread import Interval
from backbench.comparison.strategy_effects import StrategyEffect
from backbench.report.vega import ACCENT, CONFIG, INK, SECOND, SERIES, SHAPES, SOFT, Spec, digits, numeric, static_svg

MAX_DRAWN_ROWS = 30
WIDTH_PIXELS = 440
COSTS = {
    "latency": ("latency of one image, ms", LATENCY),
    "size": ("model size, bytes", SIZE),
    "seconds": ("search and training, seconds", SECONDS),
    "parameters": ("parameters", "metrics.num_parameters"),
}


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
    x = partial(numeric, title=title, scale={"nice": False, **scale}, tickCount=5, grid=True)
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
                "encoding": {"x": x("low"), "x2": {"field": "high"}, **drawn},
            },
            {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": {"x": x("estimate"), **drawn}},
            {"mark": {**text, "dy": -13}, "encoding": {"x": {"value": 2}, "text": {"field": "name"}}},
            {"mark": {**text, "dx": 6}, "encoding": {"x": {"value": "width"}, "text": {"field": "text"}}},
        ],
    }


@dataclass(frozen=True)
class Axis:
    """A cost that accuracy is held against; `front` names the rows that no other beats, from cheap to dear."""

    key: str
    title: str
    values: Mapping[str, float]
    front: tuple[str, ...]


def axes_of(leaderboard: Leaderboard) -> list[Axis]:
    """Return the costs that were measured of any cell; the pixels, which have no backbone, are left out."""
    rows = [row for row in leaderboard.rows if not row.is_baseline]
    made = []
    for key, (title, cost) in COSTS.items():
        values = {row.name: float(value) for row in rows if (value := value_at(row, cost)) is not None}
        if values:
            made.append(Axis(key, title, values, tuple(row.name for row in pareto_front(rows, cost))))
    return made


def cost_charts(leaderboard: Leaderboard, axes: Sequence[Axis]) -> Spec:
    """Spell what the page's script draws of accuracy against costs: a specification each, and every cell's numbers."""
    points = [
        {
            "backbone": row.backbone,
            "strategy": row.strategy,
            "name": row.name,
            "accuracy": digits(row.test_accuracy),
            "low": digits(row.interval.low),
            "high": digits(row.interval.high),
            "interval": row.interval_text,
            **{axis.key: digits(axis.values.get(row.name)) for axis in axes},
        }
        for row in leaderboard.rows
        if not row.is_baseline
    ]
    return {"specs": {axis.key: _pareto_spec(points, axis) for axis in axes}, "points": points}


def _pareto_spec(points: Sequence[Spec], axis: Axis) -> Spec:
    """Specify accuracy against one cost: points with intervals, and the front as steps. Data is put in later."""
    strategies = sorted({point["strategy"] for point in points})
    logarithmic: Spec = {"type": "log", "padding": 16, "nice": False}
    title = f"{axis.title} (logarithmic)"
    x = numeric(axis.key, title=title, scale=logarithmic, format="~s", tickCount=5, labelFlush=False)
    near: Spec = {"zero": False, "nice": False, "padding": 10}
    y = partial(numeric, title="test accuracy", scale=near, format=".2~f")
    colour = {"field": "strategy", "scale": _scale(strategies, SERIES), "legend": {"orient": "top", "title": None}}
    shape = {**colour, "scale": _scale(strategies, SHAPES)}
    return {
        "description": f"Test accuracy against {axis.title}. On the front: {', '.join(axis.front)}",
        "config": CONFIG,
        "width": "container",
        "height": 340,
        "encoding": {"x": x},
        "transform": [{"filter": {"field": axis.key, "valid": True}}],
        "layer": [
            {
                "transform": [{"filter": {"field": "name", "oneOf": list(axis.front)}}],
                "mark": {"type": "line", "interpolate": "step-after", "color": SOFT, "strokeDash": [5, 4]},
                "encoding": {"y": y("accuracy")},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 1},
                "encoding": {"y": y("low"), "y2": {"field": "high"}, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"y": y("accuracy"), "color": colour, "shape": shape, "tooltip": _pareto_tooltip(axis)},
            },
        ],
    }


def _scale(domain: Sequence[str], offered: Sequence[str]) -> Spec:
    return {"domain": list(domain), "range": [offered[place % len(offered)] for place in range(len(domain))]}


def _pareto_tooltip(axis: Axis) -> list[Spec]:
    return [
        {"field": "backbone"},
        {"field": "strategy"},
        {"field": "accuracy", "format": ".3f", "title": "test accuracy"},
        {"field": "interval", "title": "95 % interval"},
        {"field": axis.key, "format": ".3~s", "title": axis.title},
    ]
