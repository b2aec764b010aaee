"""The measure stage: what it writes where, what it leaves alone, and that it can measure a tiny backbone."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.backbones.latency import Repetitions, Speed
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import BenchmarkConfig
from backbench.runtime import paths
from backbench.runtime.hardware import Gpu
from backbench.stages.measure import speed as speed_module
from backbench.stages.measure.measure import Measurement, measure
from backbench.stages.measure.speed import measured
from tests.support.tiny import BACKBONE

OTHER = replace(BACKBONE, name="other", family="else")
BENCHMARK = BenchmarkConfig(
    dataset="any",
    weights="random",
    backbones=["tiny", "other"],
    strategies=["any"],
    search="any",
    seeds=[0],
    threads=0,
    precision="float32",
    xla=False,
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names_measured(
    latency_ms: float = 1.0, benchmark: BenchmarkConfig = BENCHMARK, backbones: Sequence[BackboneConfig] = ()
) -> list[str]:
    """Run the stage with a measurement that gives one number; return what it was asked to measure."""
    asked: list[str] = []

    def fake(backbone: BackboneConfig, benchmark: BenchmarkConfig) -> Measurement:
        asked.append(backbone.name)
        return Measurement(Speed(latency_ms, latency_ms, 1 / latency_ms), "CPU")

    line = measure(benchmark, backbones or (BACKBONE, OTHER), fake)
    assert line == f"latency and throughput are in work/costs, {len(asked)} newly measured; next: dvc repro compare"
    return asked


def test_each_backbone_is_measured_once_on_a_machine() -> None:
    assert names_measured() == ["tiny", "other"]
    assert names_measured(2.0) == []
    paths.cost("other").unlink()
    assert names_measured(3.0) == ["other"]
    latencies = [json.loads(paths.cost(name).read_text())["latency_p50_ms"] for name in ("tiny", "other")]
    assert latencies == [1.0, 3.0]


def test_another_setting_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    names_measured()
    assert names_measured(benchmark=replace(BENCHMARK, threads=2)) == ["tiny", "other"]
    assert names_measured(benchmark=replace(BENCHMARK, precision="mixed_bfloat16")) == ["tiny", "other"]
    names_measured()
    assert names_measured(backbones=[replace(BACKBONE, input_size_pixels=32), OTHER]) == ["tiny"]
    names_measured()
    monkeypatch.setattr("backbench.runtime.hardware.gpus", lambda: (Gpu("H100", None, None),))
    assert names_measured() == ["tiny", "other"]
    assert json.loads(paths.cost("tiny").read_text())["machine"].endswith(", H100")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert names_measured() == ["tiny", "other"]


def test_what_dvc_hashes_is_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    names_measured(1.0)
    here = paths.MEASURED.read_bytes()
    paths.cost("tiny").unlink()
    monkeypatch.setattr("backbench.runtime.hardware.gpus", lambda: (Gpu("H100", None, None),))
    names_measured(2.0)
    assert paths.MEASURED.read_bytes() == here
    names_measured(backbones=[replace(BACKBONE, input_size_pixels=32), OTHER])
    assert paths.MEASURED.read_bytes() != here


def test_a_backbone_is_built_and_measured() -> None:
    found = measured(BACKBONE, BENCHMARK, Repetitions(seconds=0.0, fewest=2, warm_up=1))
    assert found.device == "CPU"
    assert 0 < found.speed.latency_p50_ms <= found.speed.latency_p95_ms
    assert found.speed.throughput_images_per_second > 0


def test_a_gpu_that_computes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_module, "computes_on_gpu", lambda: True)
    monkeypatch.setattr(speed_module, "gpus", lambda: (Gpu("H100", None, None),))
    assert speed_module.device() == "H100"


def test_where_all_is_measured_no_library_that_computes_is_imported() -> None:
    code = "import sys, backbench.stages.measure.measure; print({'tensorflow', 'keras', 'optuna'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.strip() == "set()"
