"""A cell's costs from what lies in the working folder."""

import json
from pathlib import Path

import pytest

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.costs import MeasuredCost, read_costs

CELL = Cell("tiny", "fine_tuning")
NOTHING = MeasuredCost(None, None, None, None, None, None, None, None, None, None)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_timing(stage: str, **content: object) -> None:
    artifacts.write_json(artifacts.timing(f"{stage}-{CELL}"), content)


def test_where_nothing_was_measured_nothing_is_said() -> None:
    assert read_costs([CELL]) == {CELL: NOTHING}


def test_the_figures_of_three_stages_and_of_the_backbone_meet() -> None:
    speed = {"latency_p50_ms": 3.0, "latency_p95_ms": 4.5, "throughput_images_per_second": 900.0}
    artifacts.write_json(artifacts.cost("tiny"), {**speed, "machine": "A", "device": "CPU", "threads": 1})
    write_timing("embed", wall_seconds=10.0, peak_memory_bytes=3, machine="A")
    write_timing("sweep", wall_seconds=20.0, peak_memory_bytes=7, machine="B, H100")
    write_timing("train", wall_seconds=30.0, peak_memory_bytes=5, machine="A")
    assert read_costs([CELL])[CELL] == MeasuredCost(3.0, 4.5, 900.0, 7, 10.0, 20.0, 30.0, "A; B, H100", "CPU", 1)


def test_what_an_earlier_version_wrote_is_read_and_a_broken_file_is_not_there() -> None:
    write_timing("embed", wall_seconds=10.0)
    artifacts.write_text(artifacts.timing(f"sweep-{CELL}"), '{"wall_sec')
    cost = read_costs([CELL])[CELL]
    assert (cost.embed_seconds, cost.search_seconds, cost.peak_memory_bytes, cost.machine) == (10.0, None, None, None)


def test_costs_are_plain_values() -> None:
    artifacts.write_json(artifacts.cost("tiny"), {"latency_p50_ms": 3.0})
    assert json.loads(json.dumps(vars(read_costs([CELL])[CELL])))["latency_p50_ms"] == 3.0
