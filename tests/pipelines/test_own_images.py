"""The README's recipe for a person's own images, whole: `dvc add data`, two edits, `dvc repro`, the report."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import PROJECT

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


def run(folder: Path, *command: str) -> str:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "src"),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_of_the_project(folder: Path) -> Path:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    left_out = ("assets/photodigits", "assets/digits", "results", "dvc.lock", "data.dvc", "tests")
    for name in tracked.split("\0"):
        if name and not name.startswith(left_out) and (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, folder / name)
    run(folder, "git", "init", "-q")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_the_project(tmp_path_factory.mktemp("own") / "my project")
    for label, name in (("0", "ноль"), ("1", "one"), ("7", "seven")):
        (folder / "data" / name).mkdir(parents=True)
        for path in sorted((PROJECT / "assets/digits/train" / label).glob("*.png"))[:20]:
            Image.open(path).convert("RGB").save(folder / "data" / name / f"{path.stem}.jpg")
    run(folder, "dvc", "add", "-q", "data")
    (folder / "conf/benchmark.yaml").write_text(BENCHMARK, encoding="utf-8")
    smaller = (folder / "conf/dataset/folder.yaml").read_text(encoding="utf-8").replace("256", "64")
    (folder / "conf/dataset/folder.yaml").write_text(smaller, encoding="utf-8")
    return folder


@pytest.mark.timeout(600)
def test_ones_own_images_end_in_a_report_and_are_not_run_twice(project: Path) -> None:
    printed = run(project, "make", "cells", "JOBS=2")
    assert "open report/index.html" in printed
    rows = (project / "results/leaderboard.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[1] for row in rows[1:]].count("mobilenet_v2_slim") == 1
    assert [row.split(",")[1] for row in rows[1:]].count("pixels") == 1
    assert "ноль" in (project / "report/index.html").read_text(encoding="utf-8")
    assert "Data and pipelines are up to date" in run(project, "dvc", "repro")
    backbone = project / "conf/backbone/mobilenet_v2_slim.yaml"
    backbone.write_text(backbone.read_text(encoding="utf-8").replace("min_size_pixels: 32", "min_size_pixels: 31"))
    again = run(project, "dvc", "repro", "--dry")
    assert [line.split("'")[1].split("@")[0] for line in again.splitlines() if line.startswith("Running stage")] == [
        "embed",
        "sweep",
        "train",
        "measure",
    ]
