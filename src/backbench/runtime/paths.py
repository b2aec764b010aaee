"""Where every stage's files live.

No other module spells a path of `work/`, `models/`, `results/` or `report/`.
"""

from dataclasses import dataclass
from pathlib import Path

DATASET = Path("work/dataset")
IMAGE_SIZE = Path("work/image_size.json")
BOUNDARIES = Path("work/boundaries.json")
BACKBONES = Path("work/backbones")
BASELINE = Path("results/pixels")
BASELINE_PREDICTIONS = Path("work/predictions/pixels.parquet")
LEADERBOARD = Path("results/leaderboard.csv")
COMPARISONS = Path("results/comparisons.csv")
INTERVALS = Path("results/intervals.csv")
SUMMARY = Path("results/summary.json")
ALL_TRIALS = Path("results/trials.csv")
ALL_EPOCHS = Path("results/training.csv")
CONFUSION = Path("results/confusion.csv")
SCORES = Path("results/scores")
PLOTS_TEMPLATE = Path("work/plots/template.html")
REPORT = Path("report")
STATE = Path("work/state")
LOCKS = Path("work/locks")
WORKERS = Path("work/workers")
CLUSTER = Path("work/cluster")
CLUSTER_LOCK = Path("work/cluster.lock")
TIMINGS = Path("work/timings")
COMPUTE = Path("work/compute")
LOGS = Path("work/logs")
COSTS = Path("work/costs")
MEASURED = Path("work/measured.json")
DASHBOARD = Path("work/dashboard.db")
FAILED = Path("work/failed.json")


@dataclass(frozen=True)
class Cell:
    """One backbone × strategy, and where its files live."""

    backbone: str
    strategy: str

    def __str__(self) -> str:
        return f"{self.backbone}-{self.strategy}"

    @property
    def activations(self) -> Path:
        return activations(self.backbone) / self.strategy

    @property
    def results(self) -> Path:
        return Path("results/cells") / self.backbone / self.strategy

    @property
    def trials(self) -> Path:
        return self.results / "trials.csv"

    @property
    def trial_history(self) -> Path:
        return self.results / "trial_history.csv"

    @property
    def best(self) -> Path:
        return self.results / "best.yaml"

    @property
    def metrics(self) -> Path:
        return self.results / "metrics.json"

    @property
    def history(self) -> Path:
        return self.results / "history.csv"

    @property
    def models(self) -> Path:
        return Path("models") / self.backbone / self.strategy

    @property
    def predictions(self) -> Path:
        return Path("work/predictions") / self.backbone / f"{self.strategy}.parquet"


def backbone(name: str) -> Path:
    """Return the file of what decides what a backbone computes, its weights among it."""
    return BACKBONES / f"{name}.json"


def activations(backbone: str) -> Path:
    """Where embed stores what a backbone makes of the images: a folder per strategy."""
    return Path("work/activations") / backbone


def timing(stage: str) -> Path:
    """Where the last process of a stage, such as `sweep-resnet50-fine_tuning`, writes what it took."""
    return TIMINGS / f"{stage}.json"


def compute(stage: str, cell: Cell) -> Path:
    """Where a stage writes what all processes that computed a cell's result took."""
    return COMPUTE / f"{stage}-{cell}.json"


def log(stage: str) -> Path:
    """Where a stage, such as `sweep-resnet50-fine_tuning`, keeps what libraries said."""
    return LOGS / f"{stage}.log"


def workers_folder(title: str) -> Path:
    """Where the workers of a stage's work, such as `sweep resnet50-fine_tuning`, find it and write their logs."""
    return WORKERS / title.replace(" ", "-")


def cost(backbone: str) -> Path:
    """Where the measure stage writes what a backbone takes on this machine."""
    return COSTS / f"{backbone}.json"
