"""The HTML page: one self-contained file, the answer first."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from omegaconf import OmegaConf
from PIL import Image

from backbench.findings import answer
from backbench.leaderboard import Entry, Leaderboard
from backbench.metrics import confusion, expected_calibration_error
from backbench.predictions import Predictions
from backbench.report.pictures import accuracy_picture, confusion_picture, curves_picture, sweep_picture

TEMPLATE = "page.html.jinja"
NUM_CONFUSED_PAIRS = 5
MAX_SAMPLES = 24


@dataclass(frozen=True)
class DataCard:
    """What `dataset.json` says, and one training image per class: uint8 RGB `(S, S, 3)` each."""

    content: Mapping[str, Any]
    samples: Sequence[np.ndarray]

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.content["classes"]]


def plus_minus(mean: float, sd: float | None) -> str:
    """Spell a mean with its standard deviation, where there is one."""
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _mean_confusion(predictions: Predictions) -> np.ndarray:
    """Share of each true class by predicted class over all seeds, float64; a class with no image is all 0."""
    counts = sum(confusion(each, predictions.labels) for each in predictions.probabilities)
    totals = np.maximum(np.asarray(counts).sum(axis=1, keepdims=True), 1)
    return np.asarray(counts / totals, dtype=np.float64)


def _confused_pairs(share: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str, float]]:
    wrong = share * (1 - np.eye(len(classes)))
    worst = np.argsort(-wrong, axis=None, kind="stable")[:NUM_CONFUSED_PAIRS]
    pairs = [(int(flat) // len(classes), int(flat) % len(classes)) for flat in worst]
    return [(classes[true], classes[shown], float(wrong[true, shown])) for true, shown in pairs if wrong[true, shown]]


def _data_uri(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _best_context(entry: Entry, classes: Sequence[str]) -> dict[str, Any]:
    share = _mean_confusion(entry.predictions)
    errors = [expected_calibration_error(each, entry.predictions.labels) for each in entry.predictions.probabilities]
    picture = confusion_picture(share, classes)
    return {
        "best": entry,
        "calibration_error": float(np.mean(errors)),
        "confusion": Markup(picture) if picture else None,
        "confused_pairs": _confused_pairs(share, classes),
    }


def _cell_context(entry: Entry) -> dict[str, Any]:
    record = entry.record
    assert record is not None
    configuration = OmegaConf.to_yaml(OmegaConf.create(record.best.configuration))
    pictures = {"sweep": Markup(sweep_picture(record)), "curves": Markup(curves_picture(record))}
    return {"row": entry.row, "record": record, "configuration": configuration, **pictures}


def render_page(leaderboard: Leaderboard, data: DataCard) -> str:
    """Render the report: no link is loaded, and the same results give the same text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plus_minus"] = plus_minus
    samples = zip(data.classes, map(_data_uri, data.samples[:MAX_SAMPLES]), strict=False)
    return environment.get_template(TEMPLATE).render(
        answer=answer(leaderboard),
        leaderboard=leaderboard,
        accuracy=Markup(accuracy_picture(leaderboard)),
        cells=[_cell_context(entry) for entry in leaderboard.entries if entry.record is not None],
        dataset=data.content,
        samples=list(samples),
        **_best_context(leaderboard.best, data.classes),
    )
