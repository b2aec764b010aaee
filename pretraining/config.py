"""Frozen dataclasses of what makes and measures the shipped weights: pretraining, and transfer against random ones."""

from dataclasses import field
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from backbench.config.dataset_config import AugmentationConfig
from backbench.config.strategy_config import LinearProbeWarmupConfig
from backbench.config.value_types import (
    STRICT,
    Count,
    CountOrNone,
    EachOnce,
    Float,
    LearningRate,
    Name,
    PartOf,
    Seed,
    Share,
    Text,
    WeightDecay,
    together,
)

LearningRates = Annotated[list[LearningRate], EachOnce]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceAugmentationConfig:
    """How a drawn image may differ each time it is seen.

    `shift_pixels` bounds a shift; `permute_channels` draws the order of the three channels; `invert_share` is the
    share of images seen as their negatives.
    """

    shift_pixels: CountOrNone
    permute_channels: bool
    invert_share: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainConfig:
    """How one backbone is pretrained on images drawn by program.

    `image_size_pixels` is the side at which they are drawn; they are resized to the backbone's input.
    `parts` names the parts of the mixture that are used; null is all. `easy_share` is the share of the steps, from
    the first, that see easy images only. `num_threads` is part of the recipe: it decides the order of sums.
    """

    image_size_pixels: Count
    num_images: Count
    num_val_images: Count
    parts: Annotated[list[Text], EachOnce] | None = None
    batch_size: Count
    steps: Count
    learning_rate: LearningRate
    weight_decay: WeightDecay
    warmup_steps: CountOrNone
    easy_share: Share
    label_smoothing: Annotated[Float, Field(ge=0, lt=1)]
    batch_norm_momentum: PartOf
    augmentation: SourceAugmentationConfig
    checkpoint_every_steps: Count
    num_threads: Count
    seed: Seed

    @model_validator(mode="after")
    def _warms_up_within_its_steps(self) -> Self:
        together(
            (
                self.warmup_steps > self.steps,
                f"warmup_steps: expected at most steps {self.steps}, found {self.warmup_steps}",
            )
        )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FineTuningConfig:
    """How a whole network trains on a few images: `pretraining/conf/transfer.yaml`.

    `learning_rates` are tried from pretrained weights and `scratch_learning_rates` from drawn ones, on val.
    `linear_probe_warmup` is for pretrained weights, `batch_norm_momentum` for drawn ones; the rest is the same for
    both.
    """

    num_steps: Count
    batch_size: Count
    views: Count
    warmup_fraction: Share
    weight_decay: WeightDecay
    learning_rates: LearningRates
    scratch_learning_rates: LearningRates
    linear_probe_warmup: LinearProbeWarmupConfig
    batch_norm_momentum: PartOf
    augmentation: AugmentationConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransferConfig:
    """What the formula weights are measured on, against random weights: `pretraining/conf/transfer.yaml`.

    `methods` are linear_probe, nearest_neighbour and fine_tuning; `scratch_learning_rates_of` names backbones that want
    other learning rates than the rest when they start from scratch; `table` is the CSV file of the measurements, `page`
    the Markdown file whose tables are brought up to date, `features` the folder where features are kept.
    """

    backbones: Annotated[list[Name], EachOnce]
    datasets: list[Name]
    methods: Annotated[list[Literal["linear_probe", "nearest_neighbour", "fine_tuning"]], EachOnce]
    per_class: list[Count]
    seeds: Annotated[list[Seed], EachOnce]
    val_per_class: Count
    fine_tuning_datasets: list[Name]
    fine_tuning_per_class: list[Count]
    fine_tuning: FineTuningConfig
    scratch_learning_rates_of: dict[Name, LearningRates] = field(default_factory=dict)
    num_threads: Count
    tables_only: bool
    table: Text
    page: Text
    features: Text
