"""The HTML page: one self-contained file, the answer first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from omegaconf import OmegaConf

from backbench.comparison.answering import answer, called, rule
from backbench.comparison.choosing import recommendations
from backbench.comparison.class_recalls import UNEVEN
from backbench.comparison.costs import MeasuredCost
from backbench.comparison.findings import strategy_effects, transferability
from backbench.comparison.leaderboard import Entry, Leaderboard
from backbench.report import costing, mistakes
from backbench.report.cell_charts import MAX_CLASSES, SWEEP_FIELDS, cell_data, confusion_spec, curves_spec, sweep_spec
from backbench.report.columns import leaderboard_table
from backbench.report.data_card import MAX_REJECTED, DataCard
from backbench.report.foretelling import agreement, foretold_rows
from backbench.report.images import data_uri
from backbench.report.pareto_chart import pareto_points, pareto_spec
from backbench.report.pictures import MAX_DRAWN_ROWS, accuracy_picture, confusion_picture, effects_picture
from backbench.report.vega import json_in_html, static_svg, vega_bundle
from backbench.runtime.environment import Environment

FOLDER = Path(__file__).parent
TEMPLATE = "page.html.jinja"
MAX_SAMPLES = 24
MAX_RECALLS = 12


def render_page(
    leaderboard: Leaderboard, data: DataCard, *, costs: Mapping[str, MeasuredCost], environment: Environment
) -> str:
    """Render the report: nothing is loaded from anywhere, and the same results give the same text.

    Args:
        leaderboard: Every row, with what it was made of.
        data: The images that it was measured on.
        costs: What was measured of each row on a machine, by the row's name; rows may be missing.
        environment: What this process runs with.
    """
    axes = costing.axes(leaderboard, costs)
    points = pareto_points(leaderboard, axes)
    specs = {axis.key: pareto_spec(points, axis) for axis in axes}
    cells = [_cell_context(entry) for entry in leaderboard.entries if entry.record is not None]
    charts = {
        "pareto": {"specs": specs, "points": points},
        "cells": [cell["charts"] for cell in cells],
        "specs": {"sweep": sweep_spec(), "curves": curves_spec(), "confusion": confusion_spec(data.classes)},
        "fields": SWEEP_FIELDS,
        "classes": data.classes,
    }
    return (
        _templates()
        .get_template(TEMPLATE)
        .render(
            answer=answer(leaderboard),
            rule=rule(leaderboard),
            leaderboard=leaderboard,
            uneven=UNEVEN,
            table=leaderboard_table(leaderboard, costs),
            axes=axes,
            missing=costing.missing(leaderboard, costs),
            machines=sorted({cost.machine for cost in costs.values() if cost.machine}),
            accuracy=Markup(accuracy_picture(leaderboard)),
            pareto=Markup(static_svg(specs[axes[0].key], points)) if axes else None,
            has_confusions=len(data.classes) <= MAX_CLASSES,
            cells=cells,
            charts=Markup(json_in_html(charts)),
            vega=Markup(vega_bundle()),
            environment=environment,
            **_choice_context(leaderboard, costs),
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


def _choice_context(leaderboard: Leaderboard, costs: Mapping[str, MeasuredCost]) -> dict[str, Any]:
    rows = {row.name: row for row in leaderboard.rows}
    effects, foretold = strategy_effects(leaderboard), transferability(leaderboard.entries)
    advice = recommendations(costing.candidates(leaderboard, costs))
    return {
        "recommendations": [(each, rows[each.name]) for each in advice],
        "effects": effects,
        "most_drawn": MAX_DRAWN_ROWS,
        "effects_picture": Markup(effects_picture(effects)) if effects else None,
        "foretold": foretold_rows(foretold),
        "agreement": agreement(foretold),
    }


def _mistakes_context(chosen: Entry, data: DataCard) -> dict[str, Any]:
    classes, predictions = data.classes, chosen.predictions
    share = mistakes.mean_confusion(predictions)
    picture = confusion_picture(share, classes)
    worst = mistakes.worst_mistakes(predictions)
    return {
        "chosen": chosen,
        "confusion": Markup(picture) if picture else None,
        "confused_pairs": mistakes.confused_pairs(share, classes),
        "recalls": chosen.recalls.classes,
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


def _cell_context(entry: Entry) -> dict[str, Any]:
    record = entry.record
    assert record is not None
    configuration = OmegaConf.to_yaml(OmegaConf.create(record.best.configuration))
    return {
        "row": entry.row,
        "record": record,
        "configuration": configuration,
        "recalls": entry.recalls.classes[:MAX_RECALLS],
        "charts": cell_data(record, mistakes.mean_confusion(entry.predictions)),
    }
