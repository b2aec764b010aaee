from pathlib import Path

import pytest

from backbench.config import catalog
from backbench.config.backbone_config import BackboneConfig
from backbench.config.catalog import SortKey, WeightsKind
from backbench.runtime.errors import ConfigError
from tests.support.configs import PROJECT

PUBLISHED = {"url": "https://example.org/big.h5", "licence": "Apache-2.0", "trained_on": "imagenet"}
FORMULA = {"file": "small.h5", "sha256": "0" * 64, "licence": "MIT"}


def backbone(name: str, **changes: object) -> BackboneConfig:
    plain = {
        "name": name,
        "family": "resnet",
        "constructor": "keras.applications.ResNet50",
        "preprocessor": "keras.applications.resnet50.preprocess_input",
        "input_size_pixels": 224,
        "min_size_pixels": 32,
        "feature_dim": 2048,
        "num_parameters": 1000,
        "num_macs": 2000,
        "last_stage_boundary": "conv4_block6_out",
    }
    return BackboneConfig(**{**plain, **changes})


SMALL = backbone("small", formula=FORMULA, input_size_pixels=64)
MIDDLE = backbone("middle_vgg", family="vgg", num_parameters=5000, num_macs=1000)
BIG = backbone("big", num_parameters=20_000, num_macs=None, pretrained=PUBLISHED)
THREE = [SMALL, MIDDLE, BIG]


def broken_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    catalog.FOLDER.mkdir(parents=True)
    (catalog.FOLDER / "broken.yaml").write_text(text, encoding="utf-8")


def test_every_shipped_backbone_is_in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    files = sorted((PROJECT / "conf/backbone").glob("*.yaml"))
    assert [config.name for config in catalog.read_catalog()] == [file.stem for file in files] == catalog.names()


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (catalog.named("vgg"), ["middle_vgg"]),
        (catalog.named("*g"), ["middle_vgg", "big"]),
        (catalog.named("SMALL"), ["small"]),
        (catalog.of_families(["vgg", "vit"]), ["middle_vgg"]),
        (catalog.with_weights(WeightsKind.FORMULA), ["small"]),
        (catalog.with_weights(WeightsKind.PUBLISHED), ["big"]),
        (catalog.with_weights(WeightsKind.NONE), ["middle_vgg"]),
        (catalog.with_licence("apache-2.0"), ["big"]),
        (catalog.with_licence("MIT"), ["small"]),
        (catalog.at_most(SortKey.PARAMETERS, 5000), ["small", "middle_vgg"]),
        (catalog.at_most(SortKey.MACS, 10**12), ["small", "middle_vgg"]),
        (catalog.at_most(SortKey.INPUT, 224), ["small", "middle_vgg", "big"]),
        (catalog.at_most(SortKey.INPUT, 223), ["small"]),
    ],
    ids=lambda value: value.asked if isinstance(value, catalog.Filter) else "",
)
def test_a_filter_keeps_what_passes_it(wanted: catalog.Filter, left: list[str]) -> None:
    assert [config.name for config in catalog.chosen(THREE, [wanted])] == left


def test_what_is_left_by_several_filters_passes_them_all() -> None:
    filters = [catalog.of_families(["resnet"]), catalog.at_most(SortKey.PARAMETERS, 5000)]
    assert catalog.chosen(THREE, filters) == [SMALL]


def test_the_filter_that_leaves_nothing_is_named() -> None:
    filters = [catalog.of_families(["vgg"]), catalog.with_weights(WeightsKind.FORMULA), catalog.named("small")]
    message = "^expected a backbone with weights formula, found none among the 1 that have family vgg; ask for less"
    with pytest.raises(ConfigError, match=message):
        catalog.chosen(THREE, filters)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (SortKey.PARAMETERS, ["small", "middle_vgg", "big"]),
        (SortKey.MACS, ["middle_vgg", "small", "big"]),
        (SortKey.INPUT, ["small", "middle_vgg", "big"]),
        (SortKey.NAME, ["big", "middle_vgg", "small"]),
        (SortKey.FAMILY, ["small", "big", "middle_vgg"]),
    ],
)
def test_the_smallest_comes_first_and_the_unknown_last(key: SortKey, names: list[str]) -> None:
    assert [config.name for config in catalog.ordered(THREE, key)] == names


def test_weights_take_four_bytes_a_parameter() -> None:
    assert catalog.weights_bytes(SMALL) == 4000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", r"^conf/backbone/broken.yaml: expected YAML, found something else \(.*line 1"),
        ("- a", "^conf/backbone/broken.yaml: expected keys and values, found list"),
        (
            "name: broken",
            "^conf/backbone/broken.yaml: family: expected a value, found none; .*; add `family:`, `constructor:`, ",
        ),
        ("colour: red", "^conf/backbone/broken.yaml: "),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    broken_project(tmp_path, monkeypatch, text)
    with pytest.raises(ConfigError, match=message) as raised:
        catalog.read_catalog()
    assert "\n" not in str(raised.value)


def test_a_file_that_is_called_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_project(tmp_path, monkeypatch, (PROJECT / "conf/backbone/vgg16.yaml").read_text(encoding="utf-8"))
    with pytest.raises(
        ConfigError, match="expected name: broken, as the file is called, found 'vgg16'; correct it there, or rename it"
    ):
        catalog.read_catalog()


def test_a_folder_without_backbones_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="expected backbones in conf/backbone, found none"):
        catalog.read_catalog()
