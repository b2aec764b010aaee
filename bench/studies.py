"""What is measured: the same study for every arm, as this project's own configuration."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.config import BenchmarkConfig, CellConfig, to_typed
from backbench.config.config_files import read_named_yaml
from backbench.config.dataset_config import NO_AUGMENTATION, DatasetConfig
from backbench.config.running_config import TrackingConfig
from backbench.config.search_config import PrunerConfig, SearchConfig
from backbench.config.strategy_config import StrategyConfig
from backbench.results.records import fingerprint

CONF = Path(__file__).parents[1] / "conf"
FEATURE_EXTRACTION, FINE_TUNING = "feature_extraction", "fine_tuning"
BACKBONES = {FEATURE_EXTRACTION: ("resnet50",), FINE_TUNING: ("resnet50", "mobilenet_v2")}
NUM_TRIALS = {FEATURE_EXTRACTION: 16, FINE_TUNING: 8}
EPOCHS = 10
SIDE_PIXELS = 96
TRAIN_PER_CLASS, VAL_PER_CLASS = 80, 20
WEIGHT_DECAY = 1e-3
# Further arms of this project, per suite: an arm's name, and the keys of conf/search in which it differs from the
# arm `project`. The shipped pruner waits three of twenty epochs, this one one of ten.
PRUNER = PrunerConfig(percentile=50.0, startup_trials=2, warmup_epochs=1)
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {FEATURE_EXTRACTION: {}, FINE_TUNING: {"pruned": {"pruner": PRUNER}}}

Typed = TypeVar("Typed")


@dataclass(frozen=True)
class Study:
    """One study of one backbone. The weights of `config` are filled in by the arms, from the common start."""

    config: CellConfig
    variants: dict[str, dict[str, Any]]

    @property
    def suite(self) -> str:
        return self.config.strategy.name

    @property
    def backbone(self) -> str:
        return self.config.backbone.name

    @property
    def num_trials(self) -> int:
        return self.config.search.num_trials

    def folder(self, root: Path) -> Path:
        """Return where this study's images, weights and initial head lie: others, another folder."""
        config = self.config
        parts = (config.dataset, config.backbone, config.weights, config.strategy.head)
        return root / self.suite / f"{self.backbone}-{fingerprint(*map(asdict, parts))}"


def study_of(suite: str, backbone: str) -> Study:
    """Return a study at full size."""
    return Study(
        _cell(
            _dataset(TRAIN_PER_CLASS, VAL_PER_CLASS, SIDE_PIXELS),
            _read("backbone", backbone, BackboneConfig, input_size_pixels=SIDE_PIXELS),
            strategy_of(suite, EPOCHS),
            NUM_TRIALS[suite],
        ),
        VARIANTS[suite],
    )


def tiny_study(suite: str, backbone: BackboneConfig | None = None) -> Study:
    """Return a study of 40 training images, two trials and two epochs, of a slim MobileNetV2 at 32 pixels or another.

    Its batches are small: an epoch is a whole number of steps, as at full size in fine-tuning.
    """
    small = backbone or _read("backbone", "mobilenet_v2_slim", BackboneConfig, input_size_pixels=32, formula=None)
    strategy = strategy_of(suite, 2, batch_size=8)
    return Study(_cell(_dataset(4, 2, small.input_size_pixels), small, strategy, 2), VARIANTS[suite])


def strategy_of(suite: str, epochs: int, **changes: Any) -> StrategyConfig:
    """Return the shipped strategy with what the benchmark fixes: one view, no linear-probe warm-up, no early end.

    The weight decay is fixed, and activations are kept in float32, as the other arms have them; the batch size, the
    range of learning rates, the warm-up and the head are the shipped ones.
    """
    fixed = {
        "epochs": epochs,
        "early_stopping_patience": epochs,
        "views": 1,
        "linear_probe_warmup": None,
        "activation_dtype": "float32",
        "weight_decay": {"low": WEIGHT_DECAY, "high": WEIGHT_DECAY},
    }
    return _read("strategy", suite, StrategyConfig, **fixed, **changes)


def _read(group: str, name: str, schema: type[Typed], **changes: Any) -> Typed:
    return to_typed({**read_named_yaml(CONF / group / f"{name}.yaml"), **changes}, schema, where=f"conf/{group}")


def _dataset(train_per_class: int, val_per_class: int, side_pixels: int) -> DatasetConfig:
    return DatasetConfig(
        name="digits",
        path="data",
        image_size_pixels=side_pixels,
        resize="crop",
        depth_bits=None,
        train_per_class=train_per_class,
        val_per_class=val_per_class,
        min_size_pixels=8,
        max_image_pixels=50_000_000,
        val_fraction=0.2,
        split_seed=0,
        augmentation=NO_AUGMENTATION,
        test_fraction=1e-3,  # one image per class, the fewest that prepare takes
    )


def _cell(dataset: DatasetConfig, backbone: BackboneConfig, strategy: StrategyConfig, num_trials: int) -> CellConfig:
    return CellConfig(
        benchmark=BenchmarkConfig(
            dataset=dataset.name,
            weights="file",
            backbones=[backbone.name],
            strategies=[strategy.name],
            search="bench",
            seeds=[0],
            threads=0,
            precision="float32",
            xla=False,
        ),
        dataset=dataset,
        weights=WeightsConfig(name="random", seed=0),
        backbone=backbone,
        strategy=strategy,
        search=SearchConfig(
            name="bench",
            sampler="quasi_random",
            num_trials=num_trials,
            startup_trials=num_trials,
            trials_per_batch=num_trials,
            trials_per_round=1,
            seed=0,
        ),
        tracking=TrackingConfig(uri="sqlite:///mlflow.db", experiment="bench"),
    )
