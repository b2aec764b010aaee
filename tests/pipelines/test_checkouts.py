"""A stage runs the code and the configuration of the folder that it runs in, whose environment it ever is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from tests.support.configs import PROJECT
from tests.support.image_folders import make_folder, picture, save

pytestmark = pytest.mark.system

PREPARE = "src/backbench/stages/prepare.py"
SIZE = "conf/dataset/folder.yaml:image_size_pixels"


def run(folder: Path, *command: str, code: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command in the environment of a checkout: its package is the one that is found first."""
    environment = {**os.environ, "PYTHONPATH": str(code / "src")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def succeeded(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed copy of the project with a few images of its own in `data`."""
    folder = tmp_path_factory.mktemp("checkouts") / "first"
    folder.mkdir()
    for name in ("src", "pipelines", "conf"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copyfile(PROJECT / name, folder / name)
    benchmark = folder / "conf/benchmark.yaml"
    benchmark.write_text(benchmark.read_text(encoding="utf-8").replace("photodigits", "folder", 1), encoding="utf-8")
    make_folder(folder / "data")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (
        ("git", "init", "-q"),
        (sys.executable, "-m", "dvc", "init", "-q"),
        (sys.executable, "-m", "dvc", "add", "-q", "data"),
        ("git", "add", "-A"),
        ("git", *identity, "commit", "-q", "-m", "first"),
    ):
        succeeded(run(folder, *command, code=folder))
    return folder


def cached(checkout: Path, md5: str) -> Path:
    return checkout / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def side_pixels(folder: Path) -> int:
    return int(np.load(folder / "work/dataset/images-train.npy", mmap_mode="r").shape[1])


@pytest.mark.timeout(600)
def test_an_experiment_in_a_temporary_copy_computes_what_it_records(checkout: Path) -> None:
    dvc = (sys.executable, "-m", "dvc", "exp")
    succeeded(run(checkout, *dvc, "run", "--temp", "--name", "small", "-S", f"{SIZE}=32", "prepare", code=checkout))
    references = ("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/small")
    reference = succeeded(run(checkout, *references, code=checkout)).strip()
    lock = yaml.safe_load(succeeded(run(checkout, "git", "show", f"{reference}:dvc.lock", code=checkout)))
    prepared = lock["stages"]["prepare"]
    assert prepared["params"]["conf/dataset/folder.yaml"]["image_size_pixels"] == 32
    files = json.loads(cached(checkout, prepared["outs"][0]["md5"]).read_text(encoding="utf-8"))
    (images,) = [file["md5"] for file in files if file["relpath"] == "images-train.npy"]
    assert np.load(cached(checkout, images)).shape[1] == 32


def test_a_worktree_runs_its_own_code_and_configuration_in_the_firsts_environment(
    checkout: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    succeeded(run(checkout, "git", "worktree", "add", "-q", str(second), code=checkout))
    make_folder(second / "data")
    for name, old, new in (
        ("conf/dataset/folder.yaml", "image_size_pixels: null", "image_size_pixels: 48"),
        (PREPARE, "every file's verdict is in", "every verdict of the second is in"),
    ):
        text = (second / name).read_text(encoding="utf-8")
        assert old in text
        (second / name).write_text(text.replace(old, new), encoding="utf-8")
    printed = succeeded(run(second, sys.executable, "pipelines/prepare.py", "dataset=folder", code=checkout))
    assert "every verdict of the second is in" in printed
    assert side_pixels(second) == 48


@pytest.mark.timeout(600)
def test_images_are_prepared_anew_for_a_larger_backbone_and_for_no_other(checkout: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    succeeded(run(checkout, "git", "worktree", "add", "-q", "--detach", str(second), code=checkout))
    make_folder(second / "data")
    for number, file in enumerate(sorted((second / "data").glob("*/*.png"))):
        save(picture(number, size=(100, 90)), file)

    def stages_run(*backbones: str) -> set[str]:
        configured = OmegaConf.load(second / "conf/benchmark.yaml")
        OmegaConf.save(OmegaConf.merge(configured, {"backbones": list(backbones)}), second / "conf/benchmark.yaml")
        said = succeeded(run(second, sys.executable, "-m", "dvc", "repro", "prepare", code=second))
        return {stage for stage in ("size", "prepare") if f"Running stage '{stage}'" in said}

    assert stages_run("mobilenet_v2_slim") == {"size", "prepare"}
    assert side_pixels(second) == 64
    assert stages_run("mobilenet_v2_slim", "resnet50_slim") == {"size"}
    assert stages_run("mobilenet_v2_slim", "inception_v3_slim") == {"size", "prepare"}
    assert side_pixels(second) == 80
    assert stages_run("mobilenet_v2_slim", "efficientnet_b7") == {"size", "prepare"}
    assert side_pixels(second) == 90  # no more than the photographs have
    largest = (second / "work/dataset/dataset.json").read_bytes()
    assert stages_run("mobilenet_v2_slim", "resnet50") == {"size", "prepare"}
    assert (second / "work/dataset/dataset.json").read_bytes() == largest


def test_one_checkouts_code_refuses_to_work_in_another(checkout: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    succeeded(run(checkout, "git", "worktree", "add", "-q", "--detach", str(second), code=checkout))
    for command in (
        (sys.executable, str(checkout / "pipelines/prepare.py"), "dataset=folder"),
        (sys.executable, "-m", "backbench.cli.run_benchmark"),
        (sys.executable, "-c", "from backbench.cli.command import main; raise SystemExit(main(['doctor']))"),
    ):
        done = run(second, *command, code=checkout)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            f"error: expected the code of {second}, found that of {checkout}; activate the environment of this "
            "checkout (`make .venv/ready` makes it), or put PYTHONPATH=src before the command"
        ]
