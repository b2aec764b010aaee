"""`make times` on a few synthetic timings."""

import io
import json
from pathlib import Path

import pytest
from bench.times import TIMINGS, Spent, largest, spent_by_stage, table_of
from rich.console import Console


def write(name: str, **content: object) -> None:
    TIMINGS.mkdir(parents=True, exist_ok=True)
    (TIMINGS / f"{name}.json").write_text(json.dumps(content))


def test_times_and_memory_are_shown_by_stage_where_they_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("sweep-a-b", wall_seconds=2.0, peak_memory_bytes=1_200_000_000)
    write("sweep-a-c", wall_seconds=3.0, peak_memory_bytes=1_500_000_000)
    write("prepare", wall_seconds=1.0)
    write("dashboard", wall_seconds=99.0)
    spent = spent_by_stage()
    assert list(spent) == ["prepare", "sweep"]
    assert largest(spent["prepare"]) == "–"
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table_of(spent, {"prepare": 0.5, "sweep": 1.0}))
    rows = [line.strip("│").split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[1]] == ["sweep", "2", "5.0", "3.0", "1.50 GB", "1.0", "2.0"]
    assert [cell.strip() for cell in rows[2]] == ["all", "3", "6.0", "", "1.50 GB", "", "2.5"]


def test_the_largest_of_none_known_is_a_dash() -> None:
    assert largest([Spent(1.0, None)]) == "–"
