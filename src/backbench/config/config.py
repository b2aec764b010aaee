"""The typed configuration: of the benchmark, of one cell, and the one function that fills its frozen dataclasses.

`to_typed` refuses unknown and missing keys, wrong types, and values outside their ranges, and names all of them. No
field that decides a result has a default that is a choice: what decides a result stands in a YAML, which DVC sees.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.dataset_config import DatasetConfig
from backbench.config.running_config import TrackingConfig
from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import StrategyConfig
from backbench.config.value_types import COMBINATION, STRICT, CountOrNone, EachOnce, Name, Seed, spelled
from backbench.runtime.errors import BackbenchError, ConfigError
from backbench.runtime.paths import Cell
from backbench.runtime.web_address import public_url

Typed = TypeVar("Typed")
BENCHMARK = "conf/benchmark.yaml"
# What a backbone says of weights of a kind.
ORIGINS = {"formula": "formula", "imagenet": "imagenet", "published": "pretrained"}
# What a user's file may still have, and what to do with it.
KEYS_OF_BEFORE: dict[str | int, str] = {
    "head_start": "it is called linear_probe_warmup now",
    "storage": "trials need none any more, so leave it out",
    "launcher": "write the command that runs a worker as `start`",
    "submit": "write the command that runs a worker, and waits until it has ended, as `start`",
    "slurm": "write sbatch's options into the line `start: srun … {worker}`",
    "heartbeat_seconds": "lost_after_seconds alone decides, so leave it out",
    "patience_seconds": "workers wait for no database any more, so leave it out",
}
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
# How pydantic says what was expected, and how this project does.
_WORDS = {
    "Input should be ": "expected ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BenchmarkConfig:
    """What to benchmark: `conf/benchmark.yaml`, the one file that a user edits.

    `threads` of each process decides the order of sums, and with it the last bits; 0 leaves it to the backend.
    `precision` is what backbones compute in; weights, heads and losses are float32 whatever it says.
    `workers` says who runs the trials of a sweep, and changes no result.
    `xla` compiles what trains by XLA where TensorFlow computes; JAX always does. It changes the last bits, and which
    random numbers dropout draws. `memory_growth` lets TensorFlow take a GPU's memory as it needs it, not all at once;
    it changes no result.
    """

    dataset: Name
    weights: Name
    backbones: Annotated[list[Name], EachOnce]
    strategies: Annotated[list[Name], EachOnce]
    search: Name
    seeds: Annotated[list[Seed], EachOnce]
    workers: Name = "one"
    threads: Annotated[CountOrNone, Field(le=1024)]  # more is no machine's, and each is started
    precision: Literal["float32", "mixed_bfloat16"]
    xla: bool
    memory_growth: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CellConfig:
    """Everything that one cell depends on."""

    benchmark: BenchmarkConfig
    dataset: DatasetConfig
    weights: WeightsConfig
    backbone: BackboneConfig
    strategy: StrategyConfig
    search: SearchConfig
    tracking: TrackingConfig

    @property
    def cell(self) -> Cell:
        return Cell(self.backbone.name, self.strategy.name)


def to_typed(node: DictConfig | dict[str, Any], schema: type[Typed], *, where: str) -> Typed:
    """Fill a frozen dataclass from a composed configuration node, which messages name by `where`, as its file.

    Raises:
        ConfigError: keys are unknown or missing, or values have the wrong type or are out of range: all in one line.
    """
    try:
        # Not a copy: an interpolation such as ${dataset.name} looks at the groups beside this one.
        composed = node if isinstance(node, DictConfig) else OmegaConf.create(node)
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}; correct it there") from error
    try:
        return TypeAdapter(schema).validate_python(plain)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_told(error.errors(), plain, schema)}") from error


def _told(problems: list[ErrorDetails], content: object, schema: type) -> str:
    """Say what was expected and found of every key, and what to do."""
    missing = [_missing(problem["loc"], content) for problem in problems if problem["type"] in _MISSING]
    wrong = [_wrong(problem, content, schema) for problem in problems if problem["type"] not in _MISSING]
    found = [*wrong, *(f"{key}: expected a value, found none" for key in missing)]
    correct = [f"correct {'it' if len(wrong) == 1 else 'them'} there"] if wrong else []
    add = [f"add {', '.join(f'`{key}:`' for key in missing)} there"] if missing else []
    return f"{'; '.join(found)}; {', '.join([*correct, *add])}"


def _missing(key: tuple[str | int, ...], content: object) -> str:
    parent = spelled(key[:-1], content)
    return f"{parent}.{key[-1]}" if parent else str(key[-1])


def _wrong(problem: ErrorDetails, content: object, schema: type) -> str:
    key, expected = spelled(problem["loc"], content), problem["msg"]
    for words, others in _WORDS.items():
        expected = expected.replace(words, others)
    if problem["type"] == COMBINATION:  # it names its keys, and what was found
        return f"{key}: {expected}" if key else expected
    if problem["type"] == "unexpected_keyword_argument":
        known = f"known are {', '.join(_known_keys(schema, problem['loc'][:-1]))}"
        return f"{key}: unknown key; {KEYS_OF_BEFORE.get(problem['loc'][-1], known)}"
    return f"{key}: {expected}, found {problem['input']!r}"


def _known_keys(schema: Any, place: tuple[str | int, ...]) -> list[str]:
    """Return what may stand at a place of a configuration, such as `head`; what a type adds to a place is no key."""
    hints = get_type_hints(schema)
    for part in place:
        if part in hints:
            hints = get_type_hints(_dataclass_in(hints[str(part)]))
    return list(hints)


def _dataclass_in(hint: Any) -> Any:
    """Find the dataclass in a type such as `LinearProbeWarmupConfig | None`."""
    return hint if is_dataclass(hint) else next(filter(None, map(_dataclass_in, get_args(hint))), None)


def gathered(calls: Iterable[Callable[[], Typed]]) -> list[Typed]:
    """Return what every call returns.

    Raises:
        ConfigError: what any of them refuses, all at once.
    """
    made: list[Typed] = []
    refused: list[str] = []
    for call in calls:
        try:
            made.append(call())
        except BackbenchError as error:
            refused += error.lines
    if refused:
        raise ConfigError(*dict.fromkeys(refused))
    return made


def cell_config(composed: DictConfig, strategy: StrategyConfig | None = None) -> CellConfig:
    """Type the composed configuration of one cell; `strategy` stands in the place of the composed one.

    Raises:
        ConfigError: any group is not as `to_typed` wants it.
    """

    def typed(group: str, schema: type[Any]) -> tuple[str, Any]:
        name = None if group == "benchmark" else OmegaConf.select(composed, f"{group}.name")
        where = f"conf/{group}" if name is None else f"conf/{group}/{name}.yaml"
        return group, to_typed(composed[group], schema, where=BENCHMARK if group == "benchmark" else where)

    given: dict[str, Any] = {} if strategy is None else {"strategy": strategy}
    schemas = get_type_hints(CellConfig, include_extras=True).items()
    return CellConfig(**given, **dict(gathered(partial(typed, *each) for each in schemas if each[0] not in given)))


def resolved(config: CellConfig) -> dict[str, Any]:
    """Return what decides a cell's choice, as plain values: no tracking server, no other cell, no final seed.

    Nor where a weights file lies, which is a matter of the machine: its digest is told. Addresses hold no secrets.
    """
    plain = asdict(config)
    del plain["tracking"], plain["benchmark"]
    plain |= resolved_backbone(config.backbone, config.weights)
    benchmark = config.benchmark
    return {**plain, "threads": benchmark.threads, "precision": benchmark.precision, "xla": benchmark.xla}


def resolved_backbone(backbone: BackboneConfig, weights: WeightsConfig) -> dict[str, Any]:
    """Return what decides what a backbone computes, as plain values: itself and its weights, no other weights of it."""
    of_backbone, of_weights = asdict(backbone), asdict(weights)
    del of_backbone["weights"], of_weights["path"]
    for kind, origin in ORIGINS.items():
        if kind != weights.name:
            del of_backbone[origin]
    of_weights["sha256"] = {name: digest for name, digest in weights.sha256.items() if name == backbone.name}
    for place in (of_weights, of_backbone.get("pretrained") or {}):
        if place.get("url"):
            place["url"] = public_url(place["url"])
    return {"backbone": of_backbone, "weights": of_weights}
