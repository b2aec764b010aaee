"""The compare stage as a user runs it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.config.config import BenchmarkConfig
from backbench.config.running_config import TrackingConfig
from backbench.runtime.errors import ArtifactError, StoreAwayError
from backbench.runtime.paths import ALL_EPOCHS, ALL_TRIALS, CONFUSION, LEADERBOARD, REPORT, SCORES, SUMMARY
from backbench.stages.compare import compare
from tests.support.finished_benchmark import BACKBONES, STRATEGIES, cells, fresh_store, make_finished_benchmark

ENTRY = Path(__file__).parents[2] / "pipelines" / "compare.py"
GRID = f"benchmark.backbones=[{','.join(BACKBONES)}]"


# MLflow 3.17 uses a loader that SQLAlchemy 2.1 deprecates.


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_finished_benchmark()


def compare_here(tracking: TrackingConfig | None = None) -> str:
    benchmark = BenchmarkConfig(
        dataset="synthetic",
        weights="formula",
        backbones=list(BACKBONES),
        strategies=list(STRATEGIES),
        search="tpe",
        seeds=[0, 1, 2],
        threads=0,
        precision="float32",
        xla=False,
    )
    store = TrackingConfig(uri=f"sqlite:///{Path.cwd()}/mlflow.db", experiment="backbench")
    return compare(benchmark, tracking or store)


def test_compare_writes_everything_and_another_process_writes_the_same() -> None:
    REPORT.mkdir()
    (REPORT / "stale.svg").touch()
    SCORES.mkdir()
    (SCORES / "stale.json").touch()
    Path("mlflow.db").write_bytes(fresh_store())
    command = [sys.executable, str(ENTRY), GRID]
    first = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1].startswith("open report/index.html")
    with LEADERBOARD.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert json.loads(SUMMARY.read_text(encoding="utf-8"))["num_cells"] == 4
    assert [file.name for file in REPORT.iterdir()] == ["index.html"]
    assert len(list(SCORES.iterdir())) == len(rows)
    outputs = [LEADERBOARD, SUMMARY, REPORT / "index.html", ALL_TRIALS, ALL_EPOCHS, CONFUSION, *SCORES.iterdir()]
    before = [path.read_bytes() for path in outputs]
    assert compare_here().startswith("open report/index.html")
    assert [path.read_bytes() for path in outputs] == before


def test_a_missing_cell_is_named_and_nothing_is_written() -> None:
    cells()[0].metrics.unlink()
    with pytest.raises(ArtifactError, match=r"expected results/cells/resnet50_slim/feature_extraction/metrics\.json"):
        compare_here()
    assert not LEADERBOARD.exists()


def test_results_and_report_are_there_where_the_store_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbench.tracking.refusals.RETRY_SECONDS", 0.0)
    away = TrackingConfig(uri="http://127.0.0.1:9", experiment="backbench", patience_seconds=0.0)
    with pytest.raises(StoreAwayError, match="results and report are written, `make report` publishes them") as caught:
        compare_here(away)
    assert "\n" not in str(caught.value)
    assert SUMMARY.exists()
    assert (REPORT / "index.html").exists()


def test_compare_imports_no_network_library() -> None:
    code = "import sys, backbench.stages.compare; print({'tensorflow', 'keras', 'mlflow', 'optuna'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.strip() == "set()"
