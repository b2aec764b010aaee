"""The compare stage as a user runs it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.artifacts import LEADERBOARD, REPORT, SUMMARY
from tests.finished_benchmark import BACKBONES, cells, make_finished_benchmark

ENTRY = Path(__file__).parents[2] / "pipelines" / "compare.py"
GRID = f"benchmark.backbones=[{','.join(BACKBONES)}]"


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_finished_benchmark()


def run_compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ENTRY), GRID, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_compare_writes_everything_and_the_same_again() -> None:
    REPORT.mkdir()
    (REPORT / "stale.svg").touch()
    first = run_compare()
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1].startswith("open report/index.html")
    with LEADERBOARD.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert json.loads(SUMMARY.read_text(encoding="utf-8"))["num_cells"] == 4
    assert [file.name for file in REPORT.iterdir()] == ["index.html"]
    outputs = [LEADERBOARD, SUMMARY, REPORT / "index.html"]
    before = [path.read_bytes() for path in outputs]
    assert run_compare().returncode == 0
    assert [path.read_bytes() for path in outputs] == before


def test_a_missing_cell_is_one_line_and_exit_code_2() -> None:
    cells()[0].metrics.unlink()
    result = run_compare()
    assert result.returncode == 2
    errors = result.stderr.strip().splitlines()
    assert errors[-1].startswith("error: expected results/cells/resnet50_slim/feature_extraction/metrics.json")
    assert "Traceback" not in result.stderr
    assert not LEADERBOARD.exists()
