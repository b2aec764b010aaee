"""A cell's costs from what lies in the working folder."""

import json
from pathlib import Path

import pytest

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.costs import MeasuredCost, model_bytes, num_macs, read_costs
from backbench.records import read_best
from tests.conftest import PROJECT, backbone_config

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


def test_a_prediction_needs_the_weights_of_one_seed_and_the_frozen_ones() -> None:
    assert model_bytes(CELL, 0) is None
    CELL.models.mkdir(parents=True)
    for name, size in {"seed-0.weights.h5": 100, "seed-1.weights.h5": 100, "frozen.weights.h5": 1000}.items():
        assert model_bytes(CELL, 0) in (None, 100)
        (CELL.models / name).write_bytes(b"x" * size)
    assert model_bytes(CELL, 0) == 1100


def test_the_macs_of_a_finished_cell_are_those_of_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    best = read_best(Cell("vgg16_slim", "fine_tuning"))
    assert num_macs(best) == backbone_config("vgg16_slim").num_macs
    del best.configuration["backbone"]["num_macs"]
    assert num_macs(best) is None


def test_costs_are_plain_values() -> None:
    artifacts.write_json(artifacts.cost("tiny"), {"latency_p50_ms": 3.0})
    assert json.loads(json.dumps(vars(read_costs([CELL])[CELL])))["latency_p50_ms"] == 3.0
