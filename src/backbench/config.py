"""Frozen dataclasses for every configuration group, and the one function that fills them.

`to_typed` refuses an unknown key, a wrong type and a missing value, and names the key.
"""

from dataclasses import asdict, field
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from backbench.backbone_config import STRICT, BackboneConfig, WeightsConfig
from backbench.errors import ConfigError
from backbench.web_address import public_url

# Freeze boundaries by name: nothing of the backbone trains, all of it does, or what lies above `last_stage_boundary`.
OUTPUT, INPUT, LAST_STAGE = "output", "input", "last_stage"
UNFREEZE = "unfreeze="  # what a share of the depth starts with, where a freeze boundary is written as one string
Typed = TypeVar("Typed")
Listed = TypeVar("Listed", str, float)
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
_UNKNOWN = "expected only known keys, and this is none"
Storage = Literal["journal", "sqlite", "postgresql"]
ON_THE_FLY: Literal["on_the_fly"] = "on_the_fly"


def _checked_views(value: object) -> object:
    if value == ON_THE_FLY or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("views", "expected an int of at least 1, or on_the_fly")


# How many versions of a training image there are: so many, made once, or a new one each time.
Views = Annotated[int | Literal["on_the_fly"], BeforeValidator(_checked_views)]


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

    dataset: str
    weights: str
    backbones: list[str]
    strategies: list[str]
    search: str
    seeds: list[int]
    workers: str = "one"
    threads: int = 0
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    xla: bool = False
    memory_growth: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AugmentationConfig:
    """How much a training view may differ from its image.

    Shifts are shares of the side, `scale` is a relative change, `brightness` and `contrast` are shares.
    """

    shift: float = 0.0
    rotate_degrees: float = 0.0
    scale: float = 0.0
    horizontal_flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DatasetConfig:
    """A folder of class folders, and how it is split.

    `val_per_class` and `train_per_class` may be null: then `val_fraction` and `test_fraction` decide.
    `digest` is the pinned SHA-256 of the folder's used content, or null where nothing is pinned.
    """

    name: str
    path: str
    digest: str | None = None
    image_size_pixels: int
    min_size_pixels: int = 8
    max_image_pixels: int = 50_000_000
    train_per_class: int | None = None
    val_per_class: int | None = None
    val_fraction: float = 0.2
    test_fraction: float = 0.2
    split_seed: int = 0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadConfig:
    """The new classifier: `hidden_units` 0 is a single linear layer."""

    hidden_units: int = 0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RangeConfig:
    """A closed range, searched on a logarithmic scale."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadStartConfig:
    """How the head is trained on frozen features before fine-tuning starts (LP-FT)."""

    epochs: int
    learning_rates: list[float]
    weight_decay: float


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StrategyConfig:
    """How the backbone adapts.

    Either `boundary` or `unfreeze` says where the freeze boundary lies; a list is for the search to choose from.
    `boundary` is `output`, `last_stage`, `input`, a stage of the backbone such as `stage_4` (the last place whose side
    is 1/2^4 of the input's), or the name of a layer. `unfreeze` is the share of the backbone's depth that trains.
    `views` counts the versions of a training image whose activations are kept, the first of which is the image itself;
    `on_the_fly` is a new version each time an image is seen, computed then.
    `activation_limit_gigabytes` is what the activations of one cell may take on the disk, in 10^9 bytes; boundaries
    that do not fit are computed on the fly too.
    A fine-tuning step is taken after `accumulation_steps` parts of its batch, one after another, so that only a part of
    it need fit into memory. It is the same step, for nothing in a suffix depends on the other images of its batch while
    BatchNormalization is frozen; only dropout draws its masks anew for every part. Where memory runs out there are more
    parts than that.
    """

    name: str
    boundary: str | list[str] | None = None
    unfreeze: float | list[float] | None = None
    head: HeadConfig = field(default_factory=HeadConfig)
    head_start: HeadStartConfig | None = None
    views: Views = 1
    activation_dtype: Literal["float16", "float32"] = "float32"
    activation_limit_gigabytes: float = Field(default=20.0, ge=0)
    epochs: int
    batch_size: int
    accumulation_steps: int = Field(default=1, ge=1)
    warmup_fraction: float = 0.1
    early_stopping_patience: int
    train_batch_norm: bool = False
    learning_rate: RangeConfig
    weight_decay: RangeConfig

    def __post_init__(self) -> None:
        where = f"conf/strategy/{self.name}.yaml"
        if (self.boundary is None) == (self.unfreeze is None):
            found = "neither" if self.boundary is None else "both"
            raise ConfigError(f"{where}: expected one of `boundary` and `unfreeze`, found {found}; give one of them")
        if self.batch_size % self.accumulation_steps:
            raise ConfigError(
                f"{where}: accumulation_steps: expected a divisor of batch_size {self.batch_size}, "
                f"found {self.accumulation_steps}; correct it there"
            )
        outside = [share for share in _listed(self.unfreeze) if not 0 <= share <= 1]
        if outside:
            raise ConfigError(f"{where}: unfreeze: expected shares from 0 to 1, found {outside[0]}; correct it there")
        if not self.boundaries or len(set(self.boundaries)) < len(self.boundaries):
            key = "boundary" if self.unfreeze is None else "unfreeze"
            raise ConfigError(
                f"{where}: {key}: expected one or more, each once, found {list(self.boundaries)}; correct it there"
            )

    @property
    def boundaries(self) -> tuple[str, ...]:
        """The freeze boundaries to choose from, in order, each a string: `last_stage`, `unfreeze=0.25`."""
        if self.unfreeze is None:
            return tuple(_listed(self.boundary))
        return tuple(f"{UNFREEZE}{share:g}" for share in _listed(self.unfreeze))


def _listed(value: Listed | list[Listed] | None) -> list[Listed]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PrunerConfig:
    """When a fine-tuning trial stops early: its best validation loss so far is worse than that of `percentile` per cent
    of the completed trials after equally many epochs. Never one of the first `startup_trials`, never in the first
    `warmup_epochs`.
    """

    percentile: float
    startup_trials: int
    warmup_epochs: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchConfig:
    """How trials are proposed: `quasi_random` draws all ahead, `tpe` adapts after `startup_trials`.

    `trials_per_batch` heads are trained at once, as one network; trials that fine-tune are trained one by one.
    `trials_per_round` are proposed at once and may be run side by side: sampler and pruner look at earlier rounds only,
    so that the answer is the same for any number of workers.
    """

    name: str
    sampler: str
    num_trials: int
    startup_trials: int
    trials_per_batch: int = 1
    trials_per_round: int = 1
    pruner: PrunerConfig | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorkersConfig:
    """Who runs the trials of a cell, and through which storage they share its study.

    No result depends on it, unless a worker runs out of memory: its later trials begin with the batch that fitted.

    `launcher` names one of conf/hydra/launcher/; null with one worker is the stage's own process, and with several says
    that somebody else starts them. `storage` is a file, or PostgreSQL, whose address is in the environment variable
    BACKBENCH_STUDIES, for it may hold a password.
    A worker says that it lives every `heartbeat_seconds`; where nothing was heard for `lost_after_seconds`, its trial
    is run again. While the storage is away, all wait for `patience_seconds`.
    """

    name: str
    num_workers: int = Field(default=1, ge=1)
    launcher: str | None = None
    storage: Storage = "journal"
    heartbeat_seconds: float = Field(default=10.0, gt=0)
    lost_after_seconds: float = Field(default=60.0, gt=0)
    patience_seconds: float = Field(default=600.0, ge=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingConfig:
    """Where MLflow records; the environment variable MLFLOW_TRACKING_URI wins over `uri`.

    `models` says whose models `compare` logs, as files of all their weights; only a logged champion is registered.
    `patience_seconds` is how long the end of a stage waits for a store that is away.
    """

    uri: str
    experiment: str
    patience_seconds: float = Field(default=600.0, ge=0)
    models: Literal["every_cell", "champion", "none"] = "every_cell"


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


def to_typed(node: DictConfig | dict[str, Any], schema: type[Typed], *, where: str) -> Typed:
    """Fill a frozen dataclass from a composed configuration node.

    Args:
        node: The node of one configuration group.
        schema: One of the dataclasses of this module.
        where: The name that an error message gives the node, such as `conf/strategy`.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type.
    """
    try:
        # Not a copy: an interpolation such as ${dataset.name} looks at the groups beside this one.
        composed = node if isinstance(node, DictConfig) else OmegaConf.create(node)
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        return TypeAdapter(schema).validate_python(plain)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}; correct it there") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] in _MISSING:
            raise ConfigError(f"{where}: {key}: expected a value, found none; add it there") from error
        expected = _UNKNOWN if first["type"] == "unexpected_keyword_argument" else first["msg"]
        raise ConfigError(f"{where}: {key}: {expected}, found {first['input']!r}; correct it there") from error


def cell_config(composed: DictConfig) -> CellConfig:
    """Type the composed configuration of a stage that works on one cell.

    Raises:
        ConfigError: a key is unknown or missing, a value has the wrong type, or no seed is given.
    """
    groups = {
        name: to_typed(composed[name], schema, where=f"conf/{name}")
        for name, schema in get_type_hints(CellConfig).items()
    }
    typed = CellConfig(**groups)
    if not typed.benchmark.seeds:
        raise ConfigError("conf/benchmark.yaml: expected at least one seed in `seeds`, found none; add `seeds: [0]`")
    return typed


def resolved(config: CellConfig) -> dict[str, Any]:
    """Return what decides a cell's choice, as plain values: no tracking server, no other cell, no final seed.

    Nor where a weights file lies, which is a matter of the machine: its digest is told. Addresses hold no secrets.
    """
    plain = asdict(config)
    del plain["tracking"], plain["benchmark"], plain["weights"]["path"]
    name = config.backbone.name
    plain["weights"]["sha256"] = {of: digest for of, digest in config.weights.sha256.items() if of == name}
    for place in (plain["weights"], plain["backbone"]["pretrained"] or {}):
        if place.get("url"):
            place["url"] = public_url(place["url"])
    benchmark = config.benchmark
    return {**plain, "threads": benchmark.threads, "precision": benchmark.precision, "xla": benchmark.xla}
