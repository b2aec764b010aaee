"""What the configuration says of a strategy: where the backbone is frozen, and how what lies above it trains."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from backbench.config.value_types import (
    COMBINATION,
    ONE,
    ONE_OR_SEVERAL,
    SEVERAL,
    SMALLEST,
    STRICT,
    Count,
    CountOrNone,
    EachOnce,
    Float,
    LearningRate,
    Name,
    NotNegative,
    Share,
    Text,
    WeightDecay,
    refusal,
    together,
)

# Freeze boundaries by name: nothing of the backbone trains, all of it does, or what lies above `last_stage_boundary`.
OUTPUT, INPUT, LAST_STAGE = "output", "input", "last_stage"
UNFREEZE = "unfreeze="  # what a share of the depth starts with, where a freeze boundary is written as one string
ON_THE_FLY: Literal["on_the_fly"] = "on_the_fly"
Listed = TypeVar("Listed", str, float)


def _checked_views(value: object) -> object:
    if value == ON_THE_FLY or (type(value) is int and value >= 1):
        return value
    raise refusal("an int of at least 1, or on_the_fly")


# How many versions of a training image there are: so many, made once, or a new one each time.
Views = Annotated[int | Literal["on_the_fly"], BeforeValidator(_checked_views)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadConfig:
    """The new classifier: `hidden_units` 0 is a single linear layer."""

    hidden_units: CountOrNone
    dropout: Annotated[Float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RangeConfig:
    """A closed range, searched on a logarithmic scale; `low` and `high` may be one value, and that one zero."""

    low: WeightDecay
    high: WeightDecay

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        low, high = self.low, self.high
        if low > high:
            raise refusal(f"low of at most high, found {low:g} and {high:g}", kind=COMBINATION)
        if low == 0 < high:
            raise refusal(
                "low above 0, for a logarithmic scale has no zero, found 0; write {low: 0, high: 0} for none of it, or "
                f"begin near zero, such as {{low: {max(SMALLEST, high / 1e4):.1e}, high: {high:.1e}}}",
                kind=COMBINATION,
            )
        return self

    @property
    def is_one_value(self) -> bool:
        return self.low == self.high


def _above_zero(searched: RangeConfig) -> RangeConfig:
    if not searched.low:
        raise refusal("learning rates above 0, found low 0", kind=COMBINATION)
    return searched


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LinearProbeWarmupConfig:
    """How the head is trained on frozen features before fine-tuning starts (LP-FT)."""

    epochs: Count
    learning_rates: Annotated[list[LearningRate], EachOnce]
    weight_decay: WeightDecay


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StrategyConfig:
    """How the backbone adapts.

    Either `boundary` or `unfreeze` says where the freeze boundary lies, and the other is null; a list is for the search
    to choose from.
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

    name: Name
    boundary: (
        Annotated[Annotated[Text, ONE] | Annotated[Annotated[list[Text], EachOnce], SEVERAL], ONE_OR_SEVERAL] | None
    )
    unfreeze: (
        Annotated[Annotated[Share, ONE] | Annotated[Annotated[list[Share], EachOnce], SEVERAL], ONE_OR_SEVERAL] | None
    )
    head: HeadConfig
    linear_probe_warmup: LinearProbeWarmupConfig | None = None
    views: Views
    activation_dtype: Literal["float16", "float32"]
    activation_limit_gigabytes: NotNegative
    epochs: Count
    batch_size: Count
    accumulation_steps: Count
    warmup_fraction: Share
    early_stopping_patience: Count
    train_batch_norm: bool
    learning_rate: Annotated[RangeConfig, AfterValidator(_above_zero)]
    weight_decay: RangeConfig

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        neither = self.boundary is None
        together(
            (
                neither == (self.unfreeze is None),
                "boundary, unfreeze: expected one of the two and null for the other, found "
                f"{'neither' if neither else 'both'}",
            ),
            (
                self.batch_size % self.accumulation_steps > 0,
                f"accumulation_steps: expected a divisor of batch_size {self.batch_size}, "
                f"found {self.accumulation_steps}",
            ),
            (
                self.train_batch_norm and self.accumulation_steps > 1,
                "accumulation_steps: expected 1 with train_batch_norm, whose statistics are of a whole batch, "
                f"found {self.accumulation_steps}",
            ),
        )
        return self

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
