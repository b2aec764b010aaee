"""The stage backbones: what decides what a backbone computes changes its file, and no other's."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.config.catalog import read_weighted
from backbench.config.config import BenchmarkConfig, to_typed
from backbench.runtime import paths
from backbench.stages.backbones import backbones
from tests.support.configs import PROJECT

BACKBONES = ["vgg16_slim", "resnet50", "resnet50_mine", "resnet50_random"]


@pytest.fixture(autouse=True)
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ResNet50 with weights of each kind beside a slim backbone."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    change("benchmark", backbones=BACKBONES)
    change("backbone/resnet50", weights="published")
    change("backbone/resnet50_mine", name="resnet50_mine", base="resnet50", weights="file")
    change("backbone/resnet50_random", name="resnet50_random", base="resnet50", weights="random")
    return tmp_path / "conf"


def change(file: str, **changes: object) -> None:
    path = Path(f"conf/{file}.yaml")
    before = OmegaConf.load(path) if path.is_file() else OmegaConf.create()
    OmegaConf.save(OmegaConf.merge(before, changes), path)


def written() -> dict[str, str]:
    benchmark = to_typed(OmegaConf.load("conf/benchmark.yaml"), BenchmarkConfig, where="conf/benchmark.yaml")
    backbones(read_weighted(benchmark))
    return {path.stem: path.read_text(encoding="utf-8") for path in paths.BACKBONES.iterdir()}


CHANGES: dict[str, tuple[Callable[[], None], set[str]]] = {
    "the default weights": (lambda: change("benchmark", weights="random"), {"vgg16_slim"}),
    "a base": (lambda: change("backbone/resnet50", preprocessor="keras.applications.vgg16.preprocess_input"), {
        "resnet50",
        "resnet50_mine",
        "resnet50_random",
    }),
    "a base's published file": (
        lambda: change("backbone/resnet50", pretrained={"digest": f"sha256:{'0' * 64}"}),
        {"resnet50"},
    ),
    "weights of one": (lambda: change("backbone/resnet50_random", weights="published"), {"resnet50_random"}),
    "a digest of one": (lambda: change("weights/file", sha256={"resnet50_mine": "0" * 64}), {"resnet50_mine"}),
    "a digest of another": (lambda: change("weights/file", sha256={"vgg19": "0" * 64}), set()),
    "where files lie": (lambda: change("weights/published", path="elsewhere/{file}"), set()),
    "a seed of random weights": (lambda: change("weights/random", seed=7), {"resnet50_random"}),
    "a backbone of no cell": (lambda: change("backbone/vgg19", input_size_pixels=64), set()),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_configuration_is_one_of_the_backbones_that_it_touches(what: str) -> None:
    make, touched = CHANGES[what]
    before = written()
    make()
    after = written()
    assert {name for name in BACKBONES if before[name] != after[name]} == touched


def test_one_more_changes_no_other_and_one_less_is_removed() -> None:
    before = written()
    change("benchmark", backbones=["vgg16", *BACKBONES])
    after = written()
    assert after.keys() - before.keys() == {"vgg16"}
    assert before.items() < after.items()
    change("benchmark", backbones=["vgg16"])
    assert set(written()) == {"vgg16"}
