"""Frozen dataclasses of what makes and measures the shipped weights: pretraining, and transfer against random ones."""

from dataclasses import field

from pydantic.dataclasses import dataclass

from backbench.backbone_config import STRICT
from backbench.config import AugmentationConfig, HeadStartConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceAugmentationConfig:
    """How a drawn image may differ each time it is seen.

    `shift_pixels` bounds a shift; `permute_channels` draws the order of the three channels; `invert_share` is the
    share of images seen as their negatives.
    """

    shift_pixels: int = 0
    permute_channels: bool = False
    invert_share: float = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainConfig:
    """How one backbone is pretrained on images drawn by program.

    `image_size_pixels` is the side at which they are drawn; they are resized to the backbone's input.
    `parts` names the parts of the mixture that are used; null is all. `easy_share` is the share of the steps, from
    the first, that see easy images only. `num_threads` is part of the recipe: it decides the order of sums.
    """

    image_size_pixels: int
    num_images: int
    num_val_images: int
    parts: list[str] | None = None
    batch_size: int
    steps: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    easy_share: float = 0.0
    label_smoothing: float = 0.0
    batch_norm_momentum: float
    augmentation: SourceAugmentationConfig = field(default_factory=SourceAugmentationConfig)
    checkpoint_every_steps: int
    num_threads: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FineTuningConfig:
    """How a whole network trains on a few images: `conf/transfer_entry.yaml`.

    `learning_rates` are tried from pretrained weights and `scratch_learning_rates` from drawn ones, on val.
    `head_start` is for pretrained weights, `batch_norm_momentum` for drawn ones; the rest is the same for both.
    """

    num_steps: int
    batch_size: int
    views: int
    warmup_fraction: float = 0.1
    weight_decay: float
    learning_rates: list[float]
    scratch_learning_rates: list[float]
    head_start: HeadStartConfig
    batch_norm_momentum: float
    augmentation: AugmentationConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransferConfig:
    """What the formula weights are measured on, against random weights: `conf/transfer_entry.yaml`.

    `methods` are linear_probe, nearest_neighbour and fine_tuning; `scratch_learning_rates_of` names backbones that want
    other learning rates than the rest when they start from scratch; `table` is the CSV file of the measurements, `page`
    the Markdown file whose tables are brought up to date, `features` the folder where features are kept.
    """

    backbones: list[str]
    datasets: list[str]
    methods: list[str]
    per_class: list[int]
    seeds: list[int]
    val_per_class: int
    fine_tuning_datasets: list[str]
    fine_tuning_per_class: list[int]
    fine_tuning: FineTuningConfig
    scratch_learning_rates_of: dict[str, list[float]] = field(default_factory=dict)
    num_threads: int
    tables_only: bool
    table: str
    page: str
    features: str
