"""The HTML page: one self-contained file, the answer first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from omegaconf import OmegaConf

from backbench.comparison.choosing import recommendations
from backbench.comparison.class_recalls import UNEVEN
from backbench.comparison.conclusions import answer, called, rule
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.comparison.predicted_ranks import transferability
from backbench.comparison.strategy_effects import strategy_effects
from backbench.report import mistakes
from backbench.report.cell_charts import (
    MAX_CLASSES,
    SWEEP_FIELDS,
    cell_data,
    confusion_picture,
    confusion_spec,
    curves_spec,
    sweep_spec,
)
from backbench.report.columns import leaderboard_table, missing
from backbench.report.data_card import MAX_REJECTED, DataCard
from backbench.report.images import data_uri
from backbench.report.interval_charts import MAX_DRAWN_ROWS, accuracy_picture, effects_picture
from backbench.report.pareto_chart import axes_of, pareto_points, pareto_spec
from backbench.report.vega import json_in_html, static_svg, vega_bundle
from backbench.results.records import CellRecord
from backbench.runtime.environment import Environment

FOLDER = Path(__file__).parent
TEMPLATE = "page.html.jinja"
MAX_SAMPLES = 24
MAX_RECALLS = 12


def render_page(leaderboard: Leaderboard, data: DataCard, environment: Environment) -> str:
    """Render the report: nothing is loaded from anywhere, and the same results give the same text.

    Args:
        leaderboard: Every row, with what it was made of and what was measured of it on a machine.
        data: The images that it was measured on.
        environment: What this process runs with.
    """
    cells = [_cell_context(row, record) for row, record in leaderboard.cells]
    axes = axes_of(leaderboard)
    points = pareto_points(leaderboard, axes)
    specs = {axis.key: pareto_spec(points, axis) for axis in axes}
    charts = {
        "pareto": {"specs": specs, "points": points},
        "cells": [cell["charts"] for cell in cells],
        "specs": {"sweep": sweep_spec(), "curves": curves_spec(), "confusion": confusion_spec(data.classes)},
        "fields": SWEEP_FIELDS,
        "classes": data.classes,
    }
    effects = strategy_effects(leaderboard)
    return (
        _templates()
        .get_template(TEMPLATE)
        .render(
            answer=answer(leaderboard),
            rule=rule(leaderboard),
            leaderboard=leaderboard,
            chosen=leaderboard.chosen,
            recommendations=recommendations(leaderboard.rows),
            uneven=UNEVEN,
            table=leaderboard_table(leaderboard),
            axes=axes,
            missing=missing(leaderboard),
            machines=sorted({row.cost.machine for row in leaderboard.rows if row.cost.machine}),
            accuracy=accuracy_picture(leaderboard),
            pareto=static_svg(specs[axes[0].key], points) if axes else None,
            effects=effects,
            effects_picture=effects_picture(effects) if effects else None,
            most_drawn=MAX_DRAWN_ROWS,
            predicted=transferability(leaderboard.rows),
            has_confusions=len(data.classes) <= MAX_CLASSES,
            cells=cells,
            charts=json_in_html(charts),
            vega=Markup(vega_bundle()),
            environment=environment,
            **_mistakes_context(leaderboard.chosen, data),
            **_data_context(data),
        )
    )


def _templates() -> Templates:
    templates = Templates(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    templates.globals["called"] = called
    templates.globals["source"] = lambda name: Markup((FOLDER / name).read_text(encoding="utf-8"))
    return templates


def _mistakes_context(chosen: Row, data: DataCard) -> dict[str, Any]:
    classes, predictions = data.classes, chosen.predictions
    share = mistakes.mean_confusion(predictions)
    worst = mistakes.worst_mistakes(predictions)
    return {
        "confusion": confusion_picture(share, classes),
        "confused_pairs": mistakes.confused_pairs(share, classes),
        "worst": [
            (data_uri(data.test_images[each.position]), classes[each.actual], classes[each.predicted], each.confidence)
            for each in worst
        ],
    }


def _data_context(data: DataCard) -> dict[str, Any]:
    samples: Sequence[str] = [data_uri(image) for image in data.samples[:MAX_SAMPLES]]
    return {
        "dataset": data.content,
        "samples": list(zip(data.classes, samples, strict=False)),
        "rejected_files": data.rejected_files,
        "num_rejected": data.num_rejected,
        "max_rejected": MAX_REJECTED,
    }


def _cell_context(row: Row, record: CellRecord) -> dict[str, Any]:
    return {
        "row": row,
        "record": record,
        "configuration": OmegaConf.to_yaml(OmegaConf.create(record.best.configuration)),
        "recalls": row.recalls.classes[:MAX_RECALLS],
        "charts": cell_data(record, mistakes.mean_confusion(row.predictions)),
    }
