from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from backbench.backbones.graph import imported
from backbench.config.backbone_files import with_base
from backbench.config.config import cell_config, resolved, to_typed
from backbench.config.running_config import TrackingConfig
from backbench.runtime.errors import ConfigError
from tests.support.configs import PROJECT, backbone_config, strategy_config

CONF = PROJECT / "conf"
GROUPS = ("dataset", "weights", "backbone", "strategy", "search", "tracking")
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


def composed(*overrides: str) -> object:
    with initialize_config_dir(str(CONF), version_base=None):
        return compose("config", overrides=list(overrides))


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=[f"{group}-{choice}" for group, choice in CHOICES])
def test_every_shipped_configuration_composes_and_is_typed(group: str, choice: str) -> None:
    node = composed(f"{group}={choice}")
    if group == "backbone":  # as the entry of every stage does
        node.backbone = with_base(node.backbone, CONF / "backbone")  # type: ignore[attr-defined]
    config = cell_config(node)
    if hasattr(getattr(config, group), "name"):
        assert getattr(config, group).name == choice


@pytest.mark.parametrize("path", sorted((CONF / "backbone").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_backbone_names_functions_that_exist(path: Path) -> None:
    config = backbone_config(path.stem)
    assert callable(imported(config.constructor))
    assert callable(imported(config.preprocessor))


def test_the_default_choices_are_those_of_the_benchmark() -> None:
    """dvc.yaml passes the benchmark's choices; a stage run by hand must not do something else."""
    config = cell_config(composed())
    assert config.dataset.name == config.benchmark.dataset
    assert config.weights.name == config.benchmark.weights
    assert config.search.name == config.benchmark.search


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"uri": "a"}, "experiment: expected a value, found none; add `experiment:` there"),
        (
            {"uri": "a", "experiment": "b", "colour": 1},
            "colour: unknown key; known are uri, experiment, patience_seconds, models; correct it there",
        ),
        ({"uri": 1, "experiment": "b"}, "uri: expected a valid string, found 1; correct it there"),
        ({"uri": "???", "experiment": "b"}, "Missing mandatory value: uri; correct it there"),
        ({"uri": " ", "experiment": "b"}, "uri: expected some text, found ' '; correct it there"),
    ],
)
def test_a_mistake_names_the_key(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^conf/tracking: {message}$"):
        to_typed(OmegaConf.create(content), TrackingConfig, where="conf/tracking")


def test_what_decides_a_choice_does_not_name_servers_or_final_seeds() -> None:
    first = composed("tracking.uri=http://one")
    second = composed("tracking.uri=http://two", "benchmark.seeds=[7]", "benchmark.memory_growth=false")
    assert resolved(cell_config(first)) == resolved(cell_config(second))


@pytest.mark.parametrize("change", ["threads=2", "precision=mixed_bfloat16", "xla=true"])
def test_what_changes_a_bit_decides_a_choice(change: str) -> None:
    assert resolved(cell_config(composed(f"benchmark.{change}"))) != resolved(cell_config(composed()))


def test_what_decides_a_choice_holds_no_secret_of_an_address_and_no_place_of_a_file() -> None:
    secret = "https://ada:hush@example.org/{backbone}.h5?token=hush"
    config = cell_config(
        composed(
            "weights=file", f"weights.url='{secret}'", f"++weights.sha256={{vgg16: {'a' * 64}, resnet50: {'c' * 64}}}"
        )
    )
    weights = resolved(replace(config, backbone=replace(config.backbone, name="vgg16")))["weights"]
    assert weights["url"] == "https://example.org/{backbone}.h5"
    assert weights["sha256"] == {"vgg16": "a" * 64}
    assert "path" not in weights


def test_the_folder_of_fetched_weights_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKBENCH_WEIGHTS", raising=False)
    assert cell_config(composed("weights=published")).weights.path == "weights/{backbone}/{file}"
    monkeypatch.setenv("BACKBENCH_WEIGHTS", "/mnt/shared")
    assert cell_config(composed("weights=published")).weights.path == "/mnt/shared/{backbone}/{file}"


def test_the_benchmark_holds_no_interpolation() -> None:
    """DVC reads the file too and does not resolve Hydra's interpolations."""
    lines = (CONF / "benchmark.yaml").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "${" in line.split("#")[0]]


@pytest.mark.parametrize("views", [1, 4, "on_the_fly"])
def test_views_are_a_number_or_made_on_the_fly(views: object) -> None:
    assert cell_config(composed(f"strategy.views={views}")).strategy.views == views


@pytest.mark.parametrize("views", ["0", "-1", "2.5", "many", "true"])
def test_other_views_are_one_line(views: str) -> None:
    with pytest.raises(ConfigError, match=r"views: expected an int of at least 1, or on_the_fly, found"):
        cell_config(composed(f"strategy.views={views}"))


@pytest.mark.parametrize("change", ["activation_limit_gigabytes=-1", "activation_dtype=int8"])
def test_impossible_stores_are_one_line(change: str) -> None:
    with pytest.raises(ConfigError, match=f"feature_extraction.yaml: {change.split('=')[0]}: expected "):
        cell_config(composed(f"strategy.{change}"))


@pytest.mark.parametrize(
    ("keys", "boundaries"),
    [
        ({"boundary": "output"}, ("output",)),
        ({"boundary": ["last_stage", "stage_3", "mixed7"]}, ("last_stage", "stage_3", "mixed7")),
        ({"boundary": None, "unfreeze": 0.25}, ("unfreeze=0.25",)),
        ({"boundary": None, "unfreeze": [0, 0.5, 1]}, ("unfreeze=0", "unfreeze=0.5", "unfreeze=1")),
    ],
)
def test_a_strategy_names_its_boundaries_in_order(keys: dict[str, object], boundaries: tuple[str, ...]) -> None:
    assert strategy_config("fine_tuning", **keys).boundaries == boundaries


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"boundary": None}, "boundary, unfreeze: expected one of the two and null for the other, found neither"),
        (
            {"batch_size": 32, "accumulation_steps": 5},
            "accumulation_steps: expected a divisor of batch_size 32, found 5",
        ),
        ({"unfreeze": 0.5}, "boundary, unfreeze: expected one of the two and null for the other, found both; correct"),
        (
            {"batch_size": 32, "accumulation_steps": 2, "train_batch_norm": True},
            "accumulation_steps: expected 1 with train_batch_norm, whose statistics are of a whole batch, found 2",
        ),
        ({"boundary": None, "unfreeze": 25}, "unfreeze: expected at most 1, found 25; correct it there"),
        ({"boundary": None, "unfreeze": [0.5, -0.1]}, "unfreeze.1: expected at least 0, found -0.1; correct it"),
        ({"boundary": None, "unfreeze": float("nan")}, "unfreeze: expected a finite number, found nan; correct it"),
        ({"boundary": []}, r"boundary: expected at least one, found \[\]; correct it there"),
        ({"boundary": ["a", "a"]}, r"boundary: expected each once, found \['a', 'a'\]; correct it there"),
        ({"boundary": None, "unfreeze": []}, r"unfreeze: expected at least one, found \[\]; correct it there"),
        ({"boundary": None, "unfreeze": [0.5, 0.50]}, r"unfreeze: expected each once, found \[0.5, 0.5\]; correct"),
        (
            {"unfreeze": 0.5, "accumulation_steps": 3},
            "boundary, unfreeze: .*, found both; accumulation_steps: expected a divisor of batch_size 32, found 3",
        ),
    ],
)
def test_an_impossible_strategy_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^fine_tuning: {message}"):
        strategy_config("fine_tuning", **keys)


@pytest.mark.parametrize("boundary", [4, {"layer": "x"}])
def test_a_boundary_of_the_wrong_type_is_refused(boundary: object) -> None:
    with pytest.raises(
        ConfigError, match="^fine_tuning: boundary: expected a valid string, found (4|{.*}); correct it there$"
    ):
        strategy_config("fine_tuning", boundary=boundary)
