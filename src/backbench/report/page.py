"""The HTML page: one self-contained file, the answer first."""

from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from omegaconf import OmegaConf

from backbench.comparison.choosing import recommendations
from backbench.comparison.class_recalls import UNEVEN
from backbench.comparison.conclusions import answer, called, rule
from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.predicted_ranks import transferability
from backbench.comparison.strategy_effects import strategy_effects
from backbench.report.cell_charts import MAX_CLASSES, cell_charts, confusion_picture
from backbench.report.columns import leaderboard_columns, missing
from backbench.report.data_card import MAX_REJECTED, DataCard
from backbench.report.images import data_uri
from backbench.report.interval_charts import MAX_DRAWN_ROWS, accuracy_picture, effects_picture
from backbench.report.mistakes import confused_pairs, mean_confusion, worst_mistakes
from backbench.report.pareto_chart import axes_of, pareto_points, pareto_spec
from backbench.report.vega import json_in_html, static_svg, vega_bundle
from backbench.runtime.environment import Environment

FOLDER = Path(__file__).parent
TEMPLATE = "page.html.jinja"
MAX_RECALLS = 12
# What the templates ask for what they show; they compute nothing themselves.
ASKED = (
    *(answer, called, rule, recommendations, leaderboard_columns, missing, accuracy_picture, effects_picture),
    *(transferability, confusion_picture, confused_pairs, worst_mistakes, data_uri),
)


def render_page(leaderboard: Leaderboard, data: DataCard, environment: Environment) -> str:
    """Render the report: nothing is loaded from anywhere, and the same results give the same text.

    Args:
        leaderboard: Every row, with what it was made of and what was measured of it on a machine.
        data: The images that it was measured on.
        environment: What this process runs with.
    """
    axes = axes_of(leaderboard)
    points = pareto_points(leaderboard, axes)
    specs = {axis.key: pareto_spec(points, axis) for axis in axes}
    charts = {"pareto": {"specs": specs, "points": points}, **cell_charts(leaderboard)}
    return (
        _templates()
        .get_template(TEMPLATE)
        .render(
            leaderboard=leaderboard,
            chosen=leaderboard.chosen,
            data=data,
            dataset=data.content,
            axes=axes,
            pareto=static_svg(specs[axes[0].key], points) if axes else None,
            effects=strategy_effects(leaderboard),
            confusion=mean_confusion(leaderboard.chosen.predictions),
            charts=json_in_html(charts),
            vega=Markup(vega_bundle()),
            environment=environment,
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
    templates.filters["yaml"] = lambda content: OmegaConf.to_yaml(OmegaConf.create(content))
    limits: dict[str, Any] = {
        "max_classes": MAX_CLASSES,
        "max_recalls": MAX_RECALLS,
        "max_rejected": MAX_REJECTED,
        "most_drawn": MAX_DRAWN_ROWS,
        "uneven": UNEVEN,
    }
    templates.globals |= limits | {asked.__name__: asked for asked in ASKED}
    templates.globals["source"] = lambda name: Markup((FOLDER / name).read_text(encoding="utf-8"))
    return templates
