"""Accuracy against one cost, as Vega-Lite: points with intervals, and the front as steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backbench.comparison.choosing import LATENCY, SECONDS, SIZE, pareto_front
from backbench.comparison.leaderboard import Leaderboard, value_at
from backbench.report.vega import CONFIG, SERIES, SHAPES, SOFT, Spec, digits

COSTS = {
    "latency": ("latency of one image, ms", LATENCY),
    "size": ("model size, bytes", SIZE),
    "seconds": ("search and training, seconds", SECONDS),
    "parameters": ("parameters", "metrics.num_parameters"),
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


def pareto_points(leaderboard: Leaderboard, axes: Sequence[Axis]) -> list[Spec]:
    """Spell every cell with its accuracy, its interval and its costs."""
    return [
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


def pareto_spec(points: Sequence[Spec], axis: Axis) -> Spec:
    """Specify accuracy against one cost: points with intervals, and the front as steps. Data is put in later."""
    strategies = sorted({point["strategy"] for point in points})
    x = {
        "field": axis.key,
        "type": "quantitative",
        "scale": {"type": "log", "padding": 16, "nice": False},
        "axis": {"title": f"{axis.title} (logarithmic)", "format": "~s", "tickCount": 5, "labelFlush": False},
    }
    colour = {"field": "strategy", "scale": _scale(strategies, SERIES), "legend": {"orient": "top", "title": None}}
    shape = {**colour, "scale": _scale(strategies, SHAPES)}
    y = {
        "field": "accuracy",
        "type": "quantitative",
        "scale": {"zero": False, "nice": False, "padding": 10},
        "axis": {"title": "test accuracy", "format": ".2~f"},
    }
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
                "encoding": {"y": y},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 1},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"y": y, "color": colour, "shape": shape, "tooltip": _pareto_tooltip(axis)},
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
