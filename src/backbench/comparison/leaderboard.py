"""What a leaderboard is: a row for every cell and the pixels, in the order of validation, with what test says of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from backbench.comparison.class_recalls import ClassRecalls
from backbench.comparison.resampling import Resampled
from backbench.comparison.uncertainty import PairedComparison
from backbench.data.sizes import Enlarged
from backbench.evaluation.predictions import Predictions
from backbench.evaluation.statistics import Interval
from backbench.results.records import CellRecord, MetricsRecord
from backbench.runtime.paths import Cell

PIXELS = "pixels"
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; None where the pixels have no such thing, or one seed has no spread.

    `rank` is by validation loss, and rank 1 is chosen; `test_rank`, by test accuracy, is for looking at.
    `differs_from_chosen` where a difference in test accuracy is significant, better or worse, all rows allowed for.
    `worst_class` is the class of which the smallest share of test images, `worst_class_recall`, is found.
    `num_epochs` counts those of all trials together, the `num_pruned` pruned ones included.
    `test_accuracy_low` and `_high` bound the 95 % interval over test images and seeds.
    `model_bytes` is what the files of one model take, `num_macs` those of the backbone for one image.
    `enlarged_share` is the share of all images that have fewer pixels than the backbone takes.
    """

    rank: int
    test_rank: int
    backbone: str
    strategy: str
    weights: str
    val_loss_mean: float
    val_accuracy_mean: float
    differs_from_chosen: bool
    test_accuracy_mean: float
    test_accuracy_sd: float | None
    test_accuracy_low: float
    test_accuracy_high: float
    test_balanced_accuracy_mean: float
    test_macro_f1_mean: float
    test_top_5_accuracy_mean: float | None
    test_macro_auroc_mean: float | None
    test_log_loss_mean: float
    test_calibration_error_mean: float
    test_scaled_calibration_error_mean: float
    worst_class: str
    worst_class_recall: float
    worst_class_num_images: int
    learning_rate: float | None
    weight_decay: float | None
    learning_rate_at_edge: str | None
    num_trials: int | None
    num_pruned: int | None
    num_epochs: int | None
    num_seeds: int
    num_parameters: int
    num_trainable_parameters: int
    num_macs: int | None
    model_bytes: int | None
    enlarged_share: float | None = None

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.strategy}"

    @property
    def is_baseline(self) -> bool:
        return self.backbone == PIXELS

    @property
    def accuracy_text(self) -> str:
        """Mean test accuracy with its standard deviation over seeds, where there is one: `0.892 ± 0.005`."""
        spread = "" if self.test_accuracy_sd is None else f" ± {self.test_accuracy_sd:.3f}"
        return f"{self.test_accuracy_mean:.3f}{spread}"

    @property
    def worst_class_text(self) -> str:
        """The worst class with its recall and how many test images it has: `local 0.017 of 100`."""
        return f"{self.worst_class} {self.worst_class_recall:.3f} of {self.worst_class_num_images:,}"

    @property
    def interval_text(self) -> str:
        return f"{self.test_accuracy_low:.3f} to {self.test_accuracy_high:.3f}"


COLUMNS = tuple(each.name for each in fields(Row))


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
    def name(self) -> str:
        return f"{self.metrics.backbone}-{self.metrics.strategy}"


@dataclass(frozen=True)
class Entry:
    """A row with what it was made of.

    `intervals` are those of the headline numbers, over `num_images` test images; `test_accuracy` is one of them, as
    comparisons take it. `on_test` is the chosen row minus this one in test accuracy, None for the chosen itself.
    `is_worse_on_val` where another is significantly better on the validation images. `enlarged` says which images the
    backbone saw enlarged; None for the pixels.
    """

    row: Row
    finished: Finished
    intervals: Mapping[str, Interval]
    num_images: int
    test_accuracy: Resampled
    recalls: ClassRecalls
    on_test: PairedComparison | None = None
    is_worse_on_val: bool = False
    enlarged: Enlarged | None = None

    @property
    def record(self) -> CellRecord | None:
        return self.finished.record

    @property
    def predictions(self) -> Predictions:
        """The row's predictions on test, read anew: who looks at them twice keeps them."""
        return self.finished.read("test")

    @property
    def beside_chosen(self) -> Interval | None:
        """What it has more of test accuracy than the chosen, below 0 where less; None for the chosen itself."""
        if self.on_test is None:
            return None
        gap = self.on_test.difference
        return Interval(0.0 - gap.estimate, 0.0 - gap.high, 0.0 - gap.low)

    @property
    def is_better_on_test(self) -> bool:
        """Whether it is significantly better than the chosen on the test images."""
        return self.on_test is not None and self.on_test.is_shown and self.on_test.difference.estimate < 0


@dataclass(frozen=True)
class Leaderboard:
    """Entries from the lowest validation loss to the highest; the first is chosen.

    `failed` says of each cell that has no row why.
    """

    entries: tuple[Entry, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [entry.row for entry in self.entries]

    @property
    def chosen(self) -> Entry:
        return self.entries[0]

    @property
    def may_hide_a_class(self) -> bool:
        """Whether accuracies are not to be shown without balanced accuracy and the worst class of each row."""
        return any(
            entry.recalls.may_be_hidden for entry in self.entries if entry is self.chosen or not entry.row.is_baseline
        )

    @property
    def baseline(self) -> Entry:
        return next(entry for entry in self.entries if entry.row.is_baseline)

    @property
    def enlarged(self) -> dict[str, Enlarged]:
        """Which images were enlarged, by the name of each backbone that saw some."""
        seen = sorted(self.entries, key=lambda entry: entry.row.backbone)
        return {each.row.backbone: each.enlarged for each in seen if each.enlarged and each.enlarged.num_enlarged}

    @property
    def by_test(self) -> list[Entry]:
        """The entries from the highest test accuracy to the lowest: for looking at, not for choosing."""
        return sorted(self.entries, key=lambda entry: entry.row.test_rank)

    @property
    def comparisons(self) -> list[PairedComparison]:
        """The chosen row against every other, in test accuracy."""
        return [entry.on_test for entry in self.entries if entry.on_test is not None]

    @property
    def similar(self) -> list[Row]:
        """The other rows that do not differ significantly from the chosen on test, the most accurate first."""
        return [each.row for each in self.by_test if each is not self.chosen and not each.row.differs_from_chosen]


def cells_of(backbones: Sequence[str], strategies: Sequence[str]) -> list[Cell]:
    """Name the grid of the benchmark, in its order; files of other cells are not looked at."""
    return [Cell(backbone, strategy) for backbone in backbones for strategy in strategies]
