"""What a leaderboard is: a row for every cell and the pixels, in the order of validation, with what test says of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backbench.comparison.class_recalls import ClassRecalls
from backbench.comparison.resampling import Resampled
from backbench.comparison.spread import Interval
from backbench.comparison.uncertainty import PairedComparison
from backbench.data.arrays.sizes import Enlarged
from backbench.evaluation.predictions import Predictions
from backbench.results.records import PIXELS, CellRecord, MetricsRecord
from backbench.runtime.paths import Cell

ACCURACY = "accuracy"


@dataclass(frozen=True)
class MeasuredCost:
    """What a cell took on a machine, or on several; each figure is None where it was not measured here.

    What is the same on every machine (parameters, multiply-accumulates, bytes of a model) is in a row's metrics.
    Latency is of one image and throughput of batches, through the backbone; `peak_memory_bytes` is the largest resident
    set of any process that computed in embed, sweep and train; seconds are of their computing, as `compute.py` counts
    it. `machine` names where all of it was measured, several machines parted by semicolons; `device` what latency and
    throughput were computed on, `CPU` or a GPU's name, and `threads` with how many (0: as many as the backend likes).
    """

    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    throughput_images_per_second: float | None = None
    peak_memory_bytes: int | None = None
    embed_seconds: float | None = None
    search_seconds: float | None = None
    training_seconds: float | None = None
    machine: str | None = None
    device: str | None = None
    threads: int | None = None

    @property
    def search_and_training_seconds(self) -> float | None:
        """What both took together to compute; None where one of them is not known."""
        if self.search_seconds is None or self.training_seconds is None:
            return None
        return self.search_seconds + self.training_seconds


@dataclass(frozen=True)
class Finished:
    """What one row is made of; `record` is None for the pixels.

    Probabilities of all cells at once would not fit into memory, so `read` brings those of this one, of the split that
    it is asked for, `val` or `test`.
    """

    metrics: MetricsRecord
    record: CellRecord | None
    read: Callable[[str], Predictions]

    @property
    def backbone(self) -> str:
        return self.metrics.backbone

    @property
    def strategy(self) -> str:
        return self.metrics.strategy

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.strategy}"

    @property
    def is_baseline(self) -> bool:
        return self.backbone == PIXELS

    @property
    def val_loss(self) -> float:
        return self.metrics.mean["val_loss"]

    @property
    def val_accuracy(self) -> float:
        return self.metrics.mean["val_accuracy"]

    @property
    def test_accuracy(self) -> float:
        return self.metrics.mean["test_accuracy"]

    @property
    def balanced_accuracy(self) -> float:
        return self.metrics.mean["test_balanced_accuracy"]


@dataclass(frozen=True)
class Row(Finished):
    """One line of the leaderboard.

    `rank` is by validation loss, and rank 1 is chosen; `test_rank`, by test accuracy, is for looking at.
    `intervals` are those of the headline numbers; `resampled` is test accuracy, as comparisons take it.
    `on_test` is the chosen row minus this one in test accuracy, None for the chosen itself.
    `is_worse_on_val` where another is significantly better on the validation images.
    `enlarged` says which images the backbone saw enlarged; None for the pixels.
    """

    rank: int
    test_rank: int
    intervals: Mapping[str, Interval]
    resampled: Resampled
    recalls: ClassRecalls
    on_test: PairedComparison | None = None
    is_worse_on_val: bool = False
    enlarged: Enlarged | None = None
    cost: MeasuredCost = field(default_factory=MeasuredCost)

    @property
    def weights(self) -> str:
        return str(self.record.best.configuration["weights"]["name"]) if self.record else "none"

    @property
    def interval(self) -> Interval:
        """The 95 % interval of test accuracy over test images and seeds, within [0, 1]."""
        found = self.intervals[ACCURACY]
        return Interval(self.test_accuracy, max(0.0, found.low), min(1.0, found.high))

    @property
    def edge(self) -> str:
        """Which end of its range the chosen learning rate lies at: `low`, `high`, or nothing."""
        edge = self.record.best.learning_rate_at_edge if self.record else "none"
        return "" if edge == "none" else edge

    @property
    def learning_rate_text(self) -> str:
        """The chosen learning rate and the end of its range that it lies at: `5.18e-03 (high edge)`.

        Of folds the lowest and the highest one.
        """
        if self.record is None:
            return ""
        best, edge = self.record.best, f" ({self.edge} edge)" if self.edge else ""
        rates = [choice.learning_rate for choice in best.folds or (best.choice,)]
        ends = dict.fromkeys(f"{rate:.2e}" for rate in (min(rates), max(rates)))
        return f"{' to '.join(ends)}{edge}"

    @property
    def accuracy_text(self) -> str:
        """Mean test accuracy with its standard deviation over seeds, where there is one: `0.892 ± 0.005`."""
        sd = self.metrics.sd["test_accuracy"]
        return f"{self.test_accuracy:.3f}" + ("" if sd is None else f" ± {sd:.3f}")

    @property
    def interval_text(self) -> str:
        return f"{self.interval.low:.3f} to {self.interval.high:.3f}"

    @property
    def predictions(self) -> Predictions:
        """The row's predictions on test, read anew: who looks at them twice keeps them."""
        return self.read("test")

    @property
    def beside_chosen(self) -> Interval:
        """What it has more of test accuracy than the chosen, below 0 where less; 0 for the chosen itself."""
        gap = Interval(0.0, 0.0, 0.0) if self.on_test is None else self.on_test.difference
        return Interval(0.0 - gap.estimate, 0.0 - gap.high, 0.0 - gap.low)

    @property
    def differs_from_chosen(self) -> bool:
        """Whether a difference in test accuracy is significant, better or worse, all rows allowed for."""
        return self.on_test is not None and self.on_test.is_significant

    @property
    def is_better_on_test(self) -> bool:
        """Whether it is significantly better than the chosen on the test images."""
        return self.on_test is not None and self.on_test.is_significant and self.on_test.difference.estimate < 0


def value_at(of: Any, path: str) -> Any:
    """Follow attributes and keys, such as `record.best.num_trials`; None where one of them is."""
    for name in path.split("."):
        if of is None:
            return None
        of = of.get(name) if isinstance(of, Mapping) else getattr(of, name)
    return of


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the lowest validation loss to the highest; the first is chosen.

    `classes` are their names, in the order of the labels. `failed` says of each cell that has no row why. `folds` is
    how many the images are in, None where they are split once.
    """

    rows: tuple[Row, ...]
    classes: Sequence[str]
    failed: Mapping[str, str] = field(default_factory=dict)
    folds: int | None = None

    @property
    def chosen(self) -> Row:
        return self.rows[0]

    @property
    def cells(self) -> list[tuple[Row, CellRecord]]:
        """The rows that are cells, and so have a record."""
        return [(row, row.record) for row in self.rows if row.record is not None]

    @property
    def may_hide_a_class(self) -> bool:
        """Whether accuracies are not to be shown without balanced accuracy and the worst class of each row."""
        return any(row.recalls.may_be_hidden for row in self.rows if row is self.chosen or not row.is_baseline)

    @property
    def baseline(self) -> Row:
        return next(row for row in self.rows if row.is_baseline)

    @property
    def enlarged(self) -> dict[str, Enlarged]:
        """Which images were enlarged, by the name of each backbone that saw some."""
        seen = sorted(self.rows, key=lambda row: row.backbone)
        return {each.backbone: each.enlarged for each in seen if each.enlarged and each.enlarged.num_enlarged}

    @property
    def by_test(self) -> list[Row]:
        """The rows from the highest test accuracy to the lowest: for looking at, not for choosing."""
        return sorted(self.rows, key=lambda row: row.test_rank)

    @property
    def similar(self) -> list[Row]:
        """The other rows that do not differ significantly from the chosen on test, the most accurate first."""
        return [row for row in self.by_test if row is not self.chosen and not row.differs_from_chosen]


def cells_of(backbones: Sequence[str], strategies: Sequence[str]) -> list[Cell]:
    """Name the grid of the benchmark, in its order; files of other cells are not looked at."""
    return [Cell(backbone, strategy) for backbone in backbones for strategy in strategies]
