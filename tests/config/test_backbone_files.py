"""A backbone's file may name another as its base, and say only in what it differs."""

from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.config import catalog
from backbench.config.backbone_files import read_backbone, read_backbone_yaml
from backbench.config.config import BenchmarkConfig, resolved_backbone, to_typed
from backbench.runtime.errors import ConfigError
from tests.support.configs import PROJECT, backbone_config

VGG16 = (PROJECT / "conf/backbone/vgg16.yaml").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`conf/backbone`, with VGG16 alone, and the shipped weights beside it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf/backbone"
    folder.mkdir(parents=True)
    (folder / "vgg16.yaml").write_text(VGG16, encoding="utf-8")
    (tmp_path / "conf/weights").symlink_to(PROJECT / "conf/weights")
    return folder


def write(folder: Path, name: str, **content: object) -> Path:
    path = folder / f"{name}.yaml"
    OmegaConf.save({"name": name, **content}, path)
    return path


def benchmark(weights: str, *backbones: str) -> BenchmarkConfig:
    shipped = OmegaConf.load(PROJECT / "conf/benchmark.yaml")
    return to_typed({**shipped, "weights": weights, "backbones": list(backbones)}, BenchmarkConfig, where="benchmark")


def test_what_a_file_does_not_say_its_base_says(folder: Path) -> None:
    path = write(folder, "vgg16_random", base="vgg16", weights="random")
    assert read_backbone(path) == replace(backbone_config("vgg16"), name="vgg16_random", weights="random")


def test_a_base_may_have_a_base_and_a_key_is_taken_over_whole(folder: Path) -> None:
    write(folder, "small", base="vgg16", input_size_pixels=64, pretrained=None)
    found = read_backbone(write(folder, "smaller", base="small", input_size_pixels=32))
    assert (found.name, found.input_size_pixels, found.pretrained) == ("smaller", 32, None)
    theirs = {"url": "https://example.org/vgg16.h5", "licence": "MIT", "trained_on": "photographs"}
    published = read_backbone(write(folder, "theirs", base="vgg16", pretrained=theirs)).pretrained
    assert published is not None
    assert published.digest is None, "the digest of another file would come with it"


def test_what_was_counted_of_another_network_is_not_taken_over(folder: Path) -> None:
    vgg16 = backbone_config("vgg16")
    small = read_backbone(write(folder, "small", base="vgg16", input_size_pixels=64))
    assert (small.num_macs, small.num_parameters) == (None, vgg16.num_parameters)
    assert read_backbone(write(folder, "smaller", base="small")).num_macs is None
    assert read_backbone(write(folder, "counted", base="small", num_macs=5)).num_macs == 5
    slim = read_backbone(write(folder, "slim", base="vgg16", width=0.5))
    assert (slim.num_macs, slim.num_parameters) == (None, None)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a": "a"}, "a.yaml: base: expected another backbone than a, which has it as a base; correct it"),
        ({"a": "b", "b": "a"}, "b.yaml: base: expected another backbone than a, which has it as a base"),
        ({"a": "none"}, "expected .*/none.yaml, found nothing there; correct the name, or add the file"),
        ({"a": "../weights/random"}, r"a.yaml: base: expected a name of letters.*, found '\.\./weights/random'"),
        ({"a": ["vgg16"]}, "a.yaml: base: expected a name of letters"),
    ],
    ids=["itself", "each other", "missing", "elsewhere", "no name"],
)
def test_a_base_that_is_none_is_refused(folder: Path, contents: dict[str, object], message: str) -> None:
    for name, base in contents.items():
        write(folder, name, base=base)
    with pytest.raises(ConfigError, match=message):
        read_backbone_yaml(folder / "a.yaml")


def test_one_benchmark_holds_a_network_with_several_weights(folder: Path) -> None:
    write(folder, "vgg16_mine", base="vgg16", weights="file")
    write(folder, "vgg16_random", base="vgg16", weights="random")
    names = ("vgg16", "vgg16_mine", "vgg16_random")
    weighted = catalog.read_weighted(benchmark("published", *names))
    assert [(backbone.name, weights.name) for backbone, weights in weighted] == [
        ("vgg16", "published"),
        ("vgg16_mine", "file"),
        ("vgg16_random", "random"),
    ]
    assert {backbone.feature_dim for backbone, _ in weighted} == {512}
    write(folder, "wrong", base="vgg16", weights="none")
    with pytest.raises(ConfigError, match="expected conf/weights/none.yaml, found nothing there; correct the name"):
        catalog.read_weighted(benchmark("published", "wrong"))


def test_of_the_weights_that_a_backbone_could_have_those_it_takes_decide(folder: Path) -> None:
    """Otherwise a new address or digest of others would run its cells again."""
    ((backbone, weights),) = catalog.read_weighted(benchmark("random", "vgg16"))
    decides = resolved_backbone(backbone, weights)
    assert not {"pretrained", "formula", "imagenet", "weights"} & decides["backbone"].keys()
    ((_, published),) = catalog.read_weighted(benchmark("published", "vgg16"))
    told = resolved_backbone(backbone, published)
    assert told["backbone"]["pretrained"]["digest"] == backbone.pretrained.digest  # type: ignore[union-attr]
    assert "path" not in told["weights"], "where a file lies is a matter of the machine"
