"""Every key of every group has its range, and what decides a result stands in a YAML."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pretraining.config import PretrainConfig, TransferConfig

from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.backbone_files import read_backbone_yaml
from backbench.config.config import BenchmarkConfig, CellConfig, to_typed
from backbench.config.dataset_config import DatasetConfig
from backbench.config.running_config import TrackingConfig, WorkersConfig
from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import StrategyConfig
from backbench.runtime.errors import ConfigError
from tests.support.configs import PROJECT

Key = tuple[str | int, ...]

# One shipped choice of every group, the one with the most keys.
SCHEMAS: dict[str, type] = {
    "benchmark": BenchmarkConfig,
    "dataset": DatasetConfig,
    "weights": WeightsConfig,
    "backbone": BackboneConfig,
    "strategy": StrategyConfig,
    "search": SearchConfig,
    "workers": WorkersConfig,
    "tracking": TrackingConfig,
    "pretrain": PretrainConfig,
    "transfer": TransferConfig,
}


def _composed(name: str, *overrides: str) -> dict[str, Any]:
    node = compose(name, overrides=list(overrides))
    return {str(key): value for key, value in OmegaConf.to_container(node, resolve=True).items()}  # type: ignore[union-attr]


def _shipped() -> dict[str, Any]:
    with initialize_config_dir(str(PROJECT / "conf"), version_base=None):
        cell = _composed("config", "strategy=fine_tuning", "workers=slurm", "dataset=folder")
    with initialize_config_dir(str(PROJECT / "pretraining/conf"), version_base=None):
        return {**cell, "pretrain": _composed("pretrain")["pretrain"], "transfer": _composed("transfer")}


SHIPPED = _shipped()
# Keys whose values are free: what a constructor or sbatch takes, and texts that only a reader reads.
FREE = ("arguments", "slurm")


def leaves(content: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Yield every value that is no list and no mapping, with its place."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from leaves(value, (*key, name))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from leaves(value, (*key, place))
    elif not set(key) & set(FREE):
        yield key, content


def changed(content: Any, key: Key, value: object) -> Any:
    copy = deepcopy(content)
    place = copy
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value
    return copy


LEAVES = [(group, key, value) for group in SCHEMAS for key, value in leaves(SHIPPED[group])]
NUMBERS = [(group, key) for group, key, value in LEAVES if type(value) in (int, float)]
TEXTS = [(group, key) for group, key, value in LEAVES if type(value) is str]


def spelled(case: object) -> str:
    return ".".join(map(str, case)) if isinstance(case, tuple) else str(case)


@pytest.mark.parametrize(("group", "key"), NUMBERS, ids=spelled)
def test_a_number_has_a_range_and_is_no_switch(group: str, key: Key) -> None:
    for value in (math.nan, math.inf, -math.inf, -1, True, "many"):
        with pytest.raises(ConfigError, match=f"^conf/{group}: {spelled(key).split('.')[0]}"):
            to_typed(changed(SHIPPED[group], key, value), SCHEMAS[group], where=f"conf/{group}")


@pytest.mark.parametrize(("group", "key"), TEXTS, ids=spelled)
def test_a_text_says_something(group: str, key: Key) -> None:
    for value in ("", " \n", 7):
        with pytest.raises(ConfigError, match=f"^conf/{group}: {spelled(key)}: expected "):
            to_typed(changed(SHIPPED[group], key, value), SCHEMAS[group], where=f"conf/{group}")


STATED = {"licence": "MIT", "trained_on": "photographs"}
PACKAGE = {"name": "a-model", "version": "0.1.0", "file": "a/models/a.pth"}
WARMUP_RATES = ("linear_probe_warmup", "learning_rates")


@pytest.mark.parametrize(
    ("group", "key", "value", "message"),
    [
        ("benchmark", ("seeds",), [0, 1, 0], r"seeds: expected each once, found \[0, 1, 0\]"),
        ("benchmark", ("seeds",), [], r"seeds: expected at least one, found \[\]"),
        ("benchmark", ("seeds",), [2**31], "seeds.0: expected at most 2147483647, found 2147483648"),
        ("benchmark", ("backbones",), ["a", "a"], "backbones: expected each once"),
        ("benchmark", ("strategies",), [], "strategies: expected at least one"),
        ("benchmark", ("strategies", 0), "../x", "strategies.0: expected a name of letters, .* found '../x'"),
        ("benchmark", ("dataset",), "a/b", "dataset: expected a name of letters"),
        ("benchmark", ("search",), ".hidden", "search: expected a name of letters"),
        ("benchmark", ("threads",), 10**6, "threads: expected at most 1024, found 1000000"),
        ("benchmark", ("precision",), "float64", "precision: expected 'float32' or 'mixed_bfloat16', found 'float64'"),
        ("dataset", ("digest",), "ABC", "digest: expected 64 hexadecimal digits in lower case, found 'ABC'"),
        ("dataset", ("val_fraction",), 0.8, "val_fraction, test_fraction: expected less than 1 together, .* found 1;"),
        ("dataset", ("val_fraction",), 0, "val_fraction: expected more than 0, found 0"),
        ("dataset", ("labels",), "labels.txt", "labels: expected a .csv or .parquet file as seen from `path`, "),
        ("dataset", ("labels",), "../labels.csv", "labels: expected a .csv or .parquet file as seen from `path`, "),
        ("dataset", ("columns",), {"path": "file"}, "labels, columns: expected a file of labels where its columns are"),
        ("dataset", ("float_range",), [1, 1], "float_range: expected two values of which the second is larger, found"),
        ("dataset", ("float_range",), [1], "float_range"),
        ("dataset", ("group",), {}, "group: expected one of column, folder, pattern, alone, found none"),
        ("dataset", ("group",), {"folder": 2, "alone": True}, "alone, found folder, alone"),
        ("dataset", ("group",), {"pattern": "(P"}, r"group.pattern: expected a regular expression \(missing"),
        ("dataset", ("group",), {"column": "patient"}, "labels, group.column: expected a file of labels that has the"),
        ("dataset", ("folds",), 2, "folds: expected at least 3, found 2"),
        ("dataset", ("train_per_class",), 0, "train_per_class: expected at least 1, found 0"),
        ("dataset", ("max_image_pixels",), 63, "expected room for a square of the smallest side, found 8 and 63"),
        ("dataset", ("augmentation", "scale"), 1.0, "augmentation.scale: expected at most 0.9, found 1.0"),
        ("dataset", ("augmentation", "rotate_degrees"), 181, "augmentation.rotate_degrees: expected at most 180"),
        ("weights", ("sha256",), {"vgg16": "0"}, "sha256.vgg16: expected 64 hexadecimal digits"),
        ("backbone", ("min_size_pixels",), 65, "input_size_pixels: expected at least min_size_pixels 65, found 64"),
        ("backbone", ("constructor",), "ResNet50", "constructor: expected the dotted path of a function"),
        ("backbone", ("width",), 0, "width: expected more than 0, found 0"),
        ("backbone", ("pretrained",), STATED, "pretrained: url, package: expected one of them, found none; correct it"),
        (
            "backbone",
            ("pretrained",),
            {**STATED, "url": "a", "package": PACKAGE},
            "expected one of them, found url and p",
        ),
        (
            "backbone",
            ("pretrained",),
            {**STATED, "package": PACKAGE},
            "digest: expected sha256:… of package.file, found N",
        ),
        (
            "backbone",
            ("pretrained",),
            {**STATED, "digest": f"md5:{'0' * 32}", "package": PACKAGE},
            "digest: expected sha256:… of package.file, found md5:0",
        ),
        *(
            ("backbone", ("pretrained",), {**STATED, "package": {**PACKAGE, key: value}}, f"package.{key}: {message}")
            for key, value, message in (
                ("name", "--index-url=https://x.org", "expected the name of a package, found '--index"),
                ("version", "<1", "expected the version of a package"),
                ("file", "../../etc/passwd", "expected the path of a file in the package"),
            )
        ),
        ("strategy", ("learning_rate",), {"low": 0.1, "high": 0.01}, "learning_rate: expected low of at most high"),
        ("strategy", ("learning_rate",), {"low": 0, "high": 0}, "learning_rate: expected learning rates above 0"),
        (
            "strategy",
            ("weight_decay",),
            {"low": 0, "high": 0.1},
            r"weight_decay: expected low above 0, for a logarithmic scale has no zero, found 0; "
            r"write \{low: 0, high: 0\} for none of it, or begin near zero, such as \{low: 1.0e-05, high: 1.0e-01\}",
        ),
        (
            "strategy",
            ("weight_decay",),
            {"low": 1e-300, "high": 1},
            "weight_decay.low: expected what float32 holds, 1e-37",
        ),
        (
            "strategy",
            ("learning_rate", "high"),
            1e39,
            "learning_rate.high: expected what float32 holds, 1e-37 to 1e[+]38",
        ),
        ("strategy", ("head", "dropout"), 1, "head.dropout: expected less than 1, found 1"),
        ("strategy", WARMUP_RATES, [], "linear_probe_warmup.learning_rates: expected at least one"),
        ("strategy", WARMUP_RATES, [0.0], "linear_probe_warmup.learning_rates.0: expected more than 0"),
        ("strategy", ("warmup_fraction",), 1.1, "warmup_fraction: expected at most 1, found 1.1"),
        ("strategy", ("early_stopping_patience",), 0, "early_stopping_patience: expected at least 1, found 0"),
        ("strategy", ("name",), "a b", "name: expected a name of letters"),
        ("search", ("sampler",), "grid", "sampler: expected 'quasi_random' or 'tpe', found 'grid'"),
        ("search", ("pruner", "percentile"), 101, "pruner.percentile: expected at most 100, found 101"),
        ("search", ("startup_trials",), 0, "startup_trials: expected at least 1, found 0"),
        ("workers", ("start",), "srun", "start: expected the command .* with {worker} for .*, found 'srun'"),
        ("workers", ("start",), "sh -c '{worker}", "start: expected the command .* and every quote closed, found "),
        ("workers", ("start",), None, "num_workers: expected 1 where nothing starts workers, found 8; set start"),
        ("workers", ("scheduler",), "work/cluster", "start: expected null where scheduler names one .*, found 'srun"),
        ("tracking", ("patience_seconds",), -1, "patience_seconds: expected at least 0, found -1"),
        ("pretrain", ("warmup_steps",), 10**6, "warmup_steps: expected at most steps 3200, found 1000000"),
    ],
    ids=spelled,
)
def test_what_cannot_be_run_is_refused(group: str, key: Key, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        to_typed(changed(SHIPPED[group], key, value), SCHEMAS[group], where=f"conf/{group}")
    assert len(refused.value.lines) == 1
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("group", "key", "advice"),
    [
        ("strategy", "head_start", "it is called linear_probe_warmup now"),
        ("workers", "storage", "trials need none any more, so leave it out"),
        ("workers", "heartbeat_seconds", "lost_after_seconds alone decides, so leave it out"),
        ("workers", "launcher", "write the command that runs a worker as `start`"),
        ("workers", "submit", "write the command that runs a worker, and waits until it has ended, as `start`"),
        ("workers", "slurm", "write sbatch's options into the line `start: srun … {worker}`"),
        ("workers", "patience_seconds", "workers wait for no database any more, so leave it out"),
    ],
)
def test_a_key_of_before_is_refused_with_what_to_do(group: str, key: str, advice: str) -> None:
    message = f"^conf/mine.yaml: {key}: unknown key; {advice}; correct it there$"
    with pytest.raises(ConfigError, match=message):
        to_typed(changed(SHIPPED[group], (key,), None), SCHEMAS[group], where="conf/mine.yaml")


def test_workers_of_before_are_told_all_that_is_to_be_changed() -> None:
    elsewhere = {"name": "elsewhere", "num_workers": 8, "storage": "postgresql", "patience": 1}
    with pytest.raises(ConfigError) as refused:
        to_typed(elsewhere, WorkersConfig, where="conf/workers/elsewhere.yaml")
    (line,) = refused.value.lines
    assert line.startswith("conf/workers/elsewhere.yaml: storage: unknown key; trials need none any more, so leave it")
    assert "; patience: unknown key; known are name, start, num_workers, scheduler, host, lost_after_seconds, " in line
    assert line.endswith("; correct them there")


def test_every_shipped_file_of_workers_can_be_started() -> None:
    for file in sorted((PROJECT / "conf/workers").glob("*.yaml")):
        typed = to_typed(OmegaConf.load(file), WorkersConfig, where=str(file))  # type: ignore[arg-type]
        assert typed.name == file.stem
        assert typed.is_this_process == (file.stem == "one")


def test_all_mistakes_of_a_file_are_told_in_one_line() -> None:
    broken = changed(changed(SHIPPED["strategy"], ("learning_rate", "low"), -1), ("colour",), "red")
    del broken["epochs"], broken["head"]["dropout"]
    with pytest.raises(ConfigError) as refused:
        to_typed(broken, StrategyConfig, where="conf/strategy/mine.yaml")
    assert str(refused.value) == (
        "conf/strategy/mine.yaml: learning_rate.low: expected at least 0, found -1; colour: unknown key; known are "
        f"{', '.join(field.name for field in fields(StrategyConfig))}; head.dropout: expected a value, found none; "
        "epochs: expected a value, found none; correct them there, add `head.dropout:`, `epochs:` there"
    )


# What no result depends on: who runs trials and how, where they are recorded, and how long to wait.
NO_RESULT = {"workers", "memory_growth"}
GROUPS_OF_NO_RESULT = (WorkersConfig, TrackingConfig)


def nested(schema: type) -> Iterator[type]:
    """Yield a dataclass and all that stand in its fields, unions and lists."""
    yield schema
    pending = list(get_type_hints(schema).values())
    while pending:
        hint = pending.pop()
        pending += get_args(hint)
        if is_dataclass(hint) and isinstance(hint, type):
            yield from nested(hint)


def test_no_key_that_decides_a_result_has_a_default_that_is_a_choice() -> None:
    """DVC sees the YAML: a default in the code would change results and rerun nothing."""
    schemas = {found for root in (CellConfig, PretrainConfig, TransferConfig) for found in nested(root)}
    assert {StrategyConfig, DatasetConfig, BackboneConfig} < schemas
    chosen = []
    for schema in schemas - set(GROUPS_OF_NO_RESULT):
        for key in fields(schema):
            default = key.default if key.default_factory is MISSING else key.default_factory()
            if key.name not in NO_RESULT and default is not MISSING and default not in (None, {}):
                chosen.append(f"{schema.__name__}.{key.name}")
    assert chosen == []


def parameters_of_stages() -> Iterator[tuple[str, str]]:
    """Yield the group and the key of every parameter that dvc.yaml names by its key."""
    stages = OmegaConf.to_container(OmegaConf.load(PROJECT / "dvc.yaml"), resolve=False)["stages"]  # type: ignore[index]
    for stage in stages.values():
        for entry in stage.get("params", []):
            for file, keys in entry.items():
                group = Path(file).parent.name.replace("conf", Path(file).stem)
                yield from ((group, key) for key in (keys or ()) if group in SCHEMAS)


def test_no_file_may_leave_out_a_key_that_dvc_asks_for() -> None:
    """DVC refuses a parameter that its file lacks, in words of its own; null is one."""
    named = set(parameters_of_stages())
    assert {("benchmark", "strategies"), ("benchmark", "xla"), ("dataset", "augmentation")} < named
    for group, name in named:
        (key,) = (key for key in fields(SCHEMAS[group]) if key.name == name)
        assert key.default is MISSING, f"{group}.{name}"
        assert key.default_factory is MISSING, f"{group}.{name}"


def test_every_shipped_file_says_what_decides_a_result() -> None:
    """Composed keys may come from another file; a file that is copied has all of its own, or those of its base."""
    missing = []
    for group in ("dataset", "weights", "backbone", "strategy", "search", "pretrain"):
        for file in sorted((PROJECT / "conf" / group).glob("*.yaml")):
            try:
                content = read_backbone_yaml(file) if group == "backbone" else OmegaConf.load(file)
                to_typed(content, SCHEMAS[group], where=str(file))  # type: ignore[arg-type]
            except ConfigError as error:
                missing.append(str(error))
    assert missing == []
