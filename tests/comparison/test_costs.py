"""A cell's costs from what lies in the working folder."""

import json
from pathlib import Path

import pytest

from backbench.comparison.leaderboard import MeasuredCost
from backbench.comparison.ranking import measured_cost
from backbench.data.arrays.file_formats import write_json
from backbench.runtime import paths
from backbench.runtime.atomic_files import write_text
from backbench.runtime.paths import Cell
from tests.support.clock import computed

CELL = Cell("tiny", "fine_tuning")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_where_nothing_was_measured_nothing_is_said() -> None:
    assert measured_cost(CELL) == MeasuredCost()
    assert set(vars(MeasuredCost()).values()) == {None}


def test_the_figures_of_three_stages_and_of_the_backbone_meet() -> None:
    speed = {"latency_p50_ms": 3.0, "latency_p95_ms": 4.5, "throughput_images_per_second": 900.0}
    write_json(paths.cost("tiny"), {**speed, "machine": "A", "device": "CPU", "threads": 1})
    computed("embed", CELL, 10.0, peak_memory_bytes=3)
    computed("sweep", CELL, 20.0, peak_memory_bytes=7, machine="B, H100")
    computed("train", CELL, 30.0, peak_memory_bytes=5)
    assert measured_cost(CELL) == MeasuredCost(3.0, 4.5, 900.0, 7, 10.0, 20.0, 30.0, "A; B, H100", "CPU", 1)


def test_the_time_of_a_process_is_no_cost_and_a_broken_file_is_not_there() -> None:
    computed("embed", CELL, 10.0, peak_memory_bytes=3)
    computed("sweep", CELL, 20.0)
    write_text(paths.compute("sweep", CELL), '{"seconds": 2')
    write_json(paths.timing(f"train-{CELL}"), {"wall_seconds": 30.0, "machine": "A", "result": ""})
    cost = measured_cost(CELL)
    assert (cost.embed_seconds, cost.search_seconds, cost.training_seconds) == (10.0, None, None)
    assert (cost.peak_memory_bytes, cost.machine) == (3, "A")
    assert cost.search_and_training_seconds is None


def test_search_and_training_add_up() -> None:
    computed("sweep", CELL, 20.0)
    computed("train", CELL, 30.0)
    assert measured_cost(CELL).search_and_training_seconds == 50.0


def test_costs_are_plain_values() -> None:
    write_json(paths.cost("tiny"), {"latency_p50_ms": 3.0})
    assert json.loads(json.dumps(vars(measured_cost(CELL))))["latency_p50_ms"] == 3.0
