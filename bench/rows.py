"""One CSV row per finished measurement, so that a benchmark goes on where it was killed."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

from backbench.data.arrays.file_formats import read_csv, write_csv
from backbench.runtime.environment import look_around

PACKAGES = ("keras", "tensorflow", "keras-tuner", "numpy")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one trial, or one part of an arm's work, came to; a number that it lacks is None.

    `trial` is a position in the study, or names a part: `start`, `study`, `embed`, `predict`, `prefix`, `epoch`.
    `first_step_seconds` lasts from the trial's beginning to the end of its first training step: build, trace, step.
    """

    trial: str
    learning_rate: float | None = None
    seconds: float | None = None
    first_step_seconds: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row(Measurement):
    """A measurement, whose it is, and where and when it was made."""

    suite: str
    backbone: str
    arm: str
    repeat: int
    machine: str
    versions: str
    commit: str
    finished_at: str


NUMBERS = ("learning_rate", "seconds", "first_step_seconds", "val_loss", "val_accuracy")
IDENTITY = ("suite", "backbone", "arm", "repeat", "trial")
COLUMNS = (*IDENTITY, *NUMBERS, "machine", "versions", "commit", "finished_at")
assert set(COLUMNS) == {field.name for field in fields(Row)}


def machine() -> str:
    """Name the processor and count the cores."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{cpu_count()} x {model}"


def read_rows(table: Path) -> list[Row]:
    """Read every row; a missing table has none."""
    if not table.is_file():
        return []
    rows = []
    for line in read_csv(table, made_by="bench"):
        numbers = {name: float(line[name]) if line[name] else None for name in NUMBERS}
        texts = {name: line[name] for name in COLUMNS if name not in NUMBERS and name != "repeat"}
        rows.append(Row(repeat=int(line["repeat"]), **texts, **numbers))  # type: ignore[arg-type]
    return rows


def append_rows(
    table: Path, measurements: Sequence[Measurement], *, suite: str, backbone: str, arm: str, repeat: int
) -> None:
    """Add the measurements of one unit in one atomic write."""
    provenance: dict[str, Any] = {
        "machine": machine(),
        "versions": "; ".join(f"{name} {version(name)}" for name in PACKAGES),
        "commit": look_around().commit or "unknown",
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    new = [
        Row(suite=suite, backbone=backbone, arm=arm, repeat=repeat, **vars(measurement), **provenance)
        for measurement in measurements
    ]
    write_csv(table, [vars(row) for row in (*read_rows(table), *new)], COLUMNS)
