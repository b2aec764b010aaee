"""The README's recipe for a person's own images, whole: `make new`, an edit, `make repro`, the report."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from backbench.cli.new_project import make_project
from tests.support.configs import PROJECT

pytestmark = pytest.mark.system

BENCHMARK = """
dataset: folder
weights: formula
backbones: [mobilenet_v2_slim]
strategies: [feature_extraction]
search: quasi_random
seeds: [0, 1]
threads: 1
precision: float32
xla: false
"""


RUN = (sys.executable, "-m", "backbench.cli.run_benchmark", "--jobs", "2")


def run(folder: Path, *command: str, expected_code: int = 0) -> str:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "src"),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected_code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = tmp_path_factory.mktemp("images")
    for label, name in (("0", "ноль"), ("1", "one"), ("7", "seven")):
        (images / name).mkdir()
        for path in sorted((PROJECT / "assets/digits/train" / label).glob("*.png"))[:20]:
            Image.open(path).convert("RGB").save(images / name / f"{path.stem}.jpg")
    folder = tmp_path_factory.mktemp("own") / "my project"
    make_project(folder, images)
    (folder / "conf/benchmark.yaml").write_text(BENCHMARK, encoding="utf-8")
    return folder


@pytest.mark.timeout(600)
def test_ones_own_images_end_in_a_report_and_are_not_run_twice(project: Path) -> None:
    printed = run(project, *RUN)
    assert "open report/index.html" in printed
    assert sorted(rows(project)) == ["mobilenet_v2_slim-feature_extraction", "pixels-logistic_regression"]
    assert "ноль" in (project / "report/index.html").read_text(encoding="utf-8")
    assert "Data and pipelines are up to date" in run(project, "dvc", "repro")
    assert run(project, *RUN) == ("nothing changed since the last run, so nothing ran\nopen report/index.html\n")
    backbone = project / "conf/backbone/mobilenet_v2_slim.yaml"
    backbone.write_text(backbone.read_text(encoding="utf-8").replace("min_size_pixels: 32", "min_size_pixels: 31"))
    run(project, "dvc", "repro", "-q", "backbones")
    again = run(project, "dvc", "repro", "--dry")
    assert [line.split("'")[1].split("@")[0] for line in again.splitlines() if line.startswith("Running stage")] == [
        "size",
        "embed",
        "sweep",
        "train",
        "measure",
    ]


def rows(project: Path) -> list[str]:
    with (project / "results/leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return [f"{row['backbone']}-{row['strategy']}" for row in csv.DictReader(file)]


@pytest.mark.timeout(600)
def test_a_cell_that_fails_is_named_and_costs_the_others_nothing(project: Path) -> None:
    """It comes after the test above, whose cell has its row already."""
    broken = (
        (project / "conf/backbone/vgg16_slim.yaml")
        .read_text(encoding="utf-8")
        .replace("name: vgg16_slim", "name: broken")
    )
    (project / "conf/backbone/broken.yaml").write_text(broken.replace("feature_dim: 128", "feature_dim: 120"), "utf-8")
    benchmark = BENCHMARK.replace("[mobilenet_v2_slim]", "[broken, mobilenet_v2_slim]")
    (project / "conf/benchmark.yaml").write_text(benchmark, encoding="utf-8")
    printed = run(project, *RUN, expected_code=2)
    reason = "embed@broken: conf/backbone/broken.yaml: expected feature_dim 128, found 120"
    assert f"no row: broken-feature_extraction failed at {reason}; correct it\n" in printed
    assert rows(project) == ["mobilenet_v2_slim-feature_extraction", "pixels-logistic_regression"]
    page = (project / "report/index.html").read_text(encoding="utf-8")
    assert "expected feature_dim 128, found 120" in page
    summary = json.loads((project / "results/summary.json").read_text(encoding="utf-8"))
    assert list(summary["failed"]) == ["broken-feature_extraction"]
    (project / "conf/benchmark.yaml").write_text(BENCHMARK, encoding="utf-8")
    assert "Running stage 'compare':" in run(project, *RUN)
    assert json.loads((project / "results/summary.json").read_text(encoding="utf-8"))["failed"] == {}
