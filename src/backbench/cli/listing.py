"""The catalogue as a table, as CSV and as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from backbench.config.backbone_config import BackboneConfig
from backbench.config.catalog import licences, weights_bytes, weights_kinds
from backbench.data.arrays.file_formats import csv_text
from backbench.runtime.console import print_table
from backbench.runtime.units import UNKNOWN, short_count

HEADINGS = ("backbone", "family", "params", "MACs", "input", "MB", "weights", "licence")
NUMBERS = ("params", "MACs", "input", "MB")
MEGABYTE = 10**6


def print_listing(backbones: Sequence[BackboneConfig], console: Console) -> None:
    """Print a line per backbone; MB is the size of its float32 weights."""
    print_table(HEADINGS, [_cells(backbone) for backbone in backbones], console, numbers=NUMBERS)


def _cells(backbone: BackboneConfig) -> tuple[str, ...]:
    num_bytes = weights_bytes(backbone)
    return (
        backbone.name,
        backbone.family,
        short_count(backbone.num_parameters),
        short_count(backbone.num_macs),
        str(backbone.input_size_pixels),
        UNKNOWN if num_bytes is None else f"{num_bytes / MEGABYTE:.1f}",
        ", ".join(weights_kinds(backbone)),
        ", ".join(licences(backbone)) or UNKNOWN,
    )


def as_json(backbones: Sequence[BackboneConfig]) -> str:
    """Spell the catalogue as a JSON list; what is not known is null, lists stay lists."""
    return json.dumps([_values(backbone) for backbone in backbones], indent=2, ensure_ascii=False)


def as_csv(backbones: Sequence[BackboneConfig]) -> str:
    """Spell the catalogue as CSV with a header; what is not known is empty, lists are parted by spaces."""
    rows = [_values(backbone) for backbone in backbones]
    for row in rows:
        row |= {key: " ".join(value) for key, value in row.items() if isinstance(value, list)}
    return csv_text(rows, tuple(rows[0])).rstrip("\n")


def _values(backbone: BackboneConfig) -> dict[str, Any]:
    return {
        "name": backbone.name,
        "family": backbone.family,
        "num_parameters": backbone.num_parameters,
        "num_macs": backbone.num_macs,
        "input_size_pixels": backbone.input_size_pixels,
        "feature_dim": backbone.feature_dim,
        "weights_bytes": weights_bytes(backbone),
        "weights": [str(kind) for kind in weights_kinds(backbone)],
        "licences": list(licences(backbone)),
    }
