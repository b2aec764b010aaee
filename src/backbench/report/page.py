"""The HTML page: one self-contained file, the answer first, with the images in it as text."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from omegaconf import OmegaConf
from PIL import Image

from backbench.comparison.choosing import recommendations
from backbench.comparison.class_recalls import UNEVEN
from backbench.comparison.conclusions import answer, called, rule
from backbench.comparison.leaderboard import Leaderboard
from backbench.comparison.strategy_effects import strategy_effects, transferability
from backbench.report.cell_charts import (
    MAX_CLASSES,
    cell_charts,
    confused_pairs,
    confusion_picture,
    mean_confusion,
    worst_mistakes,
)
from backbench.report.columns import leaderboard_columns, missing
from backbench.report.leaderboard_charts import MAX_DRAWN_ROWS, accuracy_picture, axes_of, cost_charts, effects_picture
from backbench.report.near_copies import NearCopy
from backbench.report.vega import json_in_html, static_svg, vega_bundle
from backbench.runtime.environment import Environment

FOLDER = Path(__file__).parent
MAX_RECALLS = 12
MAX_REJECTED = 50
MAX_SAMPLES = 24
# Drawn at half of it: sharp on screens of twice the density.
SIDE_PIXELS = 144
JPEG_QUALITY = 85


@dataclass(frozen=True)
class DataCard:
    """What `dataset.json` says, with images of it.

    `samples` is one training image per class, uint8 RGB `(S, S, 3)` each; `test_images` are all test images, uint8
    `(n, S, S, 3)`, of which few are read; `manifest` is the rows of manifest.csv, and `near_copies` are some of those
    that it names.
    """

    content: Mapping[str, Any]
    samples: Sequence[np.ndarray]
    test_images: np.ndarray
    manifest: Sequence[Mapping[str, str]] = field(default=())
    near_copies: Sequence[NearCopy] = field(default=())

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.content["classes"]]

    @property
    def examples(self) -> list[tuple[str, np.ndarray]]:
        """The first classes, each with an image."""
        return list(zip(self.classes, self.samples, strict=False))[:MAX_SAMPLES]

    @property
    def num_rejected(self) -> int:
        return int(sum(self.content["rejected"].values()))

    @property
    def rejected_files(self) -> list[tuple[str, str]]:
        """The first files that no split has, with the reason."""
        rejected = [(row["path"], row["verdict"]) for row in self.manifest if not row["split"]]
        return rejected[:MAX_REJECTED]


def data_uri(image: np.ndarray) -> str:
    """Spell a uint8 RGB `(S, S, 3)` image as an address that holds it: whole where small, else a thumbnail."""
    picture, buffer = Image.fromarray(np.asarray(image)), io.BytesIO()
    kind = "png" if max(picture.size) <= SIDE_PIXELS else "jpeg"
    picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.LANCZOS)
    picture.save(buffer, format=kind, quality=JPEG_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


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
    pareto = cost_charts(leaderboard, axes)
    template = _templates().get_template("page.html.jinja")
    return template.render(
        leaderboard=leaderboard,
        chosen=leaderboard.chosen,
        data=data,
        dataset=data.content,
        axes=axes,
        pareto=static_svg(pareto["specs"][axes[0].key], pareto["points"]) if axes else None,
        effects=strategy_effects(leaderboard),
        confusion=mean_confusion(leaderboard.chosen.predictions),
        charts=json_in_html({"pareto": pareto, **cell_charts(leaderboard)}),
        vega=Markup(vega_bundle()),
        environment=environment,
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
