"""The name of a file is the name of what it configures, in every group and wherever one is read."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.cli import run_benchmark
from backbench.cli.command import main
from backbench.cli.doctor.plan import read_plan
from backbench.config import catalog
from backbench.config.config_files import NAMED, check_choices, check_name, read_named_yaml
from backbench.runtime.errors import ConfigError
from tests.support.configs import PROJECT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_group_whose_files_have_a_name_is_checked() -> None:
    files = {path for path in (PROJECT / "conf").glob("*/*.yaml") if "name" in OmegaConf.load(path)}
    assert {path.parent.name for path in files} == set(NAMED)
    for path in files:
        assert read_named_yaml(path)["name"] == path.stem


@pytest.mark.parametrize("group", NAMED)
def test_a_group_that_calls_itself_otherwise_than_its_file_is_refused(group: str) -> None:
    composed = OmegaConf.create({group: {"name": "theirs"}})
    message = f"^conf/{group}/mine.yaml: expected name: mine, as the file is called, found 'theirs'; correct it there"
    with pytest.raises(ConfigError, match=message):
        check_choices(composed, {group: "mine", "tracking": "local"})
    check_choices(composed, {group: "theirs"})


def test_all_names_are_told_at_once() -> None:
    composed = OmegaConf.create({"backbone": {"name": "a"}, "strategy": {"epochs": 3}, "search": {"name": "tpe"}})
    with pytest.raises(ConfigError) as refused:
        check_choices(composed, {"backbone": "b", "strategy": "c", "search": "tpe"})
    assert [line.split(":")[0] for line in refused.value.lines] == ["conf/backbone/b.yaml", "conf/strategy/c.yaml"]
    assert "found none" in refused.value.lines[1]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".hidden", "-x", "a b", "a\nb", "~", "a*"])
def test_a_name_that_may_lead_out_of_its_folder_is_refused(name: str) -> None:
    composed = OmegaConf.create({"strategy": {"name": name}})
    with pytest.raises(ConfigError, match="^strategy: expected a name of letters"):
        check_choices(composed, {"strategy": name})


@pytest.mark.parametrize("name", ["resnet50", "größe_2", "v1.5-a+b", "2024"])
def test_other_names_are_taken(name: str) -> None:
    check_name(Path(f"conf/strategy/{name}.yaml"), name)


def copied(project: Path, group: str, source: str) -> None:
    """What a user does first: copy a file and forget the name in it."""
    shutil.copy(project / f"conf/{group}/{source}.yaml", project / f"conf/{group}/mine.yaml")


READERS: dict[str, tuple[str, str, Callable[[], object]]] = {
    "catalogue": ("backbone", "vgg16", catalog.read_catalog),
    "doctor_backbone": ("backbone", "vgg16_slim", read_plan),
    "doctor_strategy": ("strategy", "fine_tuning", read_plan),
    "doctor_dataset": ("dataset", "folder", read_plan),
    "doctor_weights": ("weights", "formula", read_plan),
    "doctor_search": ("search", "tpe", read_plan),
    "doctor_workers": ("workers", "one", read_plan),
}


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_a_copy_that_kept_its_name_refuses_it(project: Path, reader: str) -> None:
    group, source, read = READERS[reader]
    copied(project, group, source)
    chosen = {"backbone": {"backbones": ["mine"]}, "strategy": {"strategies": ["mine"]}}.get(group, {group: "mine"})
    OmegaConf.save({**OmegaConf.load("conf/benchmark.yaml"), **chosen}, "conf/benchmark.yaml")
    with pytest.raises(ConfigError, match=rf"^conf/{group}/mine\.yaml: expected name: mine, .* found '{source}'"):
        read()


@pytest.mark.parametrize("stage", ["sweep", "prepare", "train"])
def test_a_stage_that_is_told_another_name_than_the_files_writes_nothing(tmp_path: Path, stage: str) -> None:
    override = "dataset.name=other" if stage == "prepare" else "strategy.name=other"
    command = [sys.executable, str(PROJECT / f"pipelines/{stage}.py"), override]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "as the file is called, found 'other'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_names_every_broken_file_on_a_line_of_its_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(project, "backbone", "vgg16")
    path = project / "conf/backbone/vgg19.yaml"
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), {"feature_dim": 0, "family": ""}), path)
    assert main(["backbones"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in lines] == [" conf/backbone/mine.yaml", " conf/backbone/vgg19.yaml"]
    assert "family: expected some text, found ''; feature_dim: expected at least 1, found 0; correct them" in lines[1]


def test_make_repro_names_every_broken_file_before_anything_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, changes in {
        "conf/strategy/fine_tuning.yaml": {"learning_rate": {"low": 1, "high": 0.1}},
        "conf/backbone/vgg16_slim.yaml": {"feature_dim": 0},
    }.items():
        OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), changes), path)
    assert run_benchmark.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: conf/strategy/fine_tuning.yaml: learning_rate: expected low of at most high, found 1 and 0.1; "
        "correct it there",
        "error: conf/backbone/vgg16_slim.yaml: feature_dim: expected at least 1, found 0; correct it there",
    ]


def test_the_doctor_tells_every_broken_file_as_a_finding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, changes in {
        "conf/strategy/fine_tuning.yaml": {"epochs": 0, "batch_size": -1},
        "conf/dataset/photodigits.yaml": {"image_size_pixels": 0},
    }.items():
        OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), changes), path)
    assert main(["doctor", "--json"]) == 2
    found = capsys.readouterr().out
    assert found.count('"what": "benchmark"') == 2
    assert "epochs: expected at least 1, found 0; batch_size: expected at least 1, found -1" in found
    assert "conf/dataset/photodigits.yaml: image_size_pixels: expected at least 1, found 0" in found
