"""Which file holds which weights, what is refused, and what is said of it."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.backbones.weight_files import file_sha256_of, verify, weight_file
from backbench.config.backbone_config import BackboneConfig, PretrainedConfig, WeightsConfig
from backbench.runtime.errors import WeightsError
from tests.support.configs import backbone_config

CONTENT = b"weights"
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
PATTERN = "weights/{backbone}/{file}"
PUBLISHED = WeightsConfig(seed=0, name="published", path=PATTERN)


def published_backbone(digest: str | None, **changes: object) -> BackboneConfig:
    pretrained = PretrainedConfig(
        url="https://example.org/some/model%201.h5?download=1", digest=digest, licence="MIT", trained_on="photographs"
    )
    return replace(backbone_config("vgg16"), pretrained=pretrained, **changes)


def test_a_published_file_lies_under_its_backbone_and_its_own_name() -> None:
    file = weight_file(published_backbone(f"md5:{MD5}"), PUBLISHED)
    assert file is not None
    assert file.path == Path("weights/vgg16/model 1.h5")
    assert (file.licence, file.trained_on, file.pinned_in) == ("MIT", "photographs", "conf/backbone/vgg16.yaml")


def test_own_files_are_named_by_their_backbone() -> None:
    own = WeightsConfig(
        name="file", path="~/w/{backbone}.h5", url="https://x.org/{backbone}.h5", sha256={"vgg16": SHA256}, seed=0
    )
    file = weight_file(backbone_config("vgg16"), own)
    assert file is not None
    assert (file.path, file.url, file.digest) == (
        Path.home() / "w/vgg16.h5",
        "https://x.org/vgg16.h5",
        f"sha256:{SHA256}",
    )


def test_random_weights_are_no_file() -> None:
    random = WeightsConfig(seed=0, name="random")
    assert weight_file(backbone_config("vgg16"), random) is None
    assert file_sha256_of(backbone_config("vgg16"), random) is None


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("resnet50_slim", PUBLISHED, "found no `pretrained`: nobody publishes weights of resnet50_slim; use"),
        (
            "vgg16",
            WeightsConfig(seed=0, name="formula"),
            "no formula weights are shipped for vgg16; use weights=published",
        ),
        (
            "vgg16",
            WeightsConfig(seed=0, name="file", path="x"),
            "expected `path` and `sha256.vgg16` in conf/weights/file.yaml",
        ),
        (
            "vgg16",
            WeightsConfig(seed=0, name="published"),
            "expected `path` in conf/weights/published.yaml, with no names but",
        ),
        (
            "vgg16",
            WeightsConfig(seed=0, name="published", path="{colour}"),
            r"but \{backbone\}, \{file\}, found {colour}",
        ),
        (
            "vgg16",
            WeightsConfig(seed=0, name="imagenet21k"),
            "out of formula, imagenet, published, file, random, found imagenet21k",
        ),
    ],
)
def test_weights_that_there_are_not_say_what_to_do(backbone: str, weights: WeightsConfig, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weight_file(backbone_config(backbone), weights)


def test_published_weights_of_a_thinned_backbone_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"found a width of 0\.5: nobody publishes"):
        weight_file(published_backbone(None, width=0.5), PUBLISHED)


@pytest.mark.parametrize("digest", [f"sha256:{SHA256}", f"md5:{MD5}"])
def test_a_file_is_compared_in_the_algorithm_that_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config = published_backbone(digest)
    file = weight_file(config, PUBLISHED)
    assert file is not None
    with pytest.raises(WeightsError, match=r"a weight file at weights/vgg16/model 1\.h5, found .* `make weights`"):
        verify(file)
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(CONTENT)
    verify(file)
    assert file_sha256_of(config, PUBLISHED) == SHA256
    file.path.write_bytes(b"others")
    with pytest.raises(
        WeightsError, match=rf"expected (SHA-256 {SHA256}|MD5 {MD5}), found (SHA-256|MD5) \w+; delete it"
    ):
        verify(file)


def test_a_file_without_a_pinned_digest_is_refused_and_says_which_to_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = weight_file(published_backbone(None), PUBLISHED)
    assert file is not None
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=f"write `digest: sha256:{SHA256}` in conf/backbone/vgg16.yaml"):
        verify(file)
