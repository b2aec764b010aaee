"""Every cell and the pixels: ranked, and so chosen, by validation; test accuracy, with intervals, is reported."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.class_recalls import ClassRecalls, class_recalls
from backbench.data.dataset import DESCRIPTION, MADE_BY
from backbench.errors import ArtifactError
from backbench.predictions import Predictions, read_predictions
from backbench.records import BestRecord, CellRecord, MetricsRecord, read_cell, read_metrics
from backbench.resampling import Resampled, resample
from backbench.statistics import Interval
from backbench.uncertainty import PairedComparison, compare_with, interval

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
    comparisons take it. `on_test` and `on_val` are the chosen row minus this one in the accuracy of that split, None
    for the chosen itself.
    """

    row: Row
    finished: Finished
    intervals: Mapping[str, Interval]
    num_images: int
    test_accuracy: Resampled
    recalls: ClassRecalls
    on_test: PairedComparison | None = None
    on_val: PairedComparison | None = None

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

    @property
    def is_worse_on_val(self) -> bool:
        """Whether it is significantly worse than the chosen on the validation images."""
        return self.on_val is not None and self.on_val.is_shown and self.on_val.difference.estimate > 0


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


def read_leaderboard(cells: Sequence[Cell]) -> Leaderboard:
    """Read every cell of the benchmark and the pixels, and rank them.

    Raises:
        ArtifactError: a cell is missing, or its files do not fit together.
    """
    classes = artifacts.read_json(artifacts.DATASET / DESCRIPTION, made_by=MADE_BY)["classes"]
    return rank([*(_finished_cell(cell) for cell in cells), _finished_pixels()], classes)


def _finished_cell(cell: Cell) -> Finished:
    record = read_cell(cell)
    read = partial(read_predictions, cell.predictions, made_by=f"train@{cell}")
    return Finished(record.metrics, record, lambda split: read(split=split))


def _finished_pixels() -> Finished:
    metrics = read_metrics(artifacts.BASELINE / "metrics.json", made_by="baseline")
    read = partial(read_predictions, artifacts.BASELINE_PREDICTIONS, made_by="baseline")
    return Finished(metrics, None, lambda split: read(split=split))


def rank(finished: Sequence[Finished], classes: Sequence[str]) -> Leaderboard:
    """Sort by validation loss, the mean over the seeds of the final models, ties by name; then look at test.

    Validation loss chooses within a cell too, and accuracies are often equal on few validation images.

    Args:
        finished: The rows, in any order.
        classes: Their names, in the order of the labels.

    Raises:
        ArtifactError: predictions are not of the same images, or not those of metrics.json.
    """
    ordered = sorted(finished, key=lambda each: (each.metrics.mean["val_loss"], each.name))
    recalls: list[ClassRecalls] = []
    numbers = resample(_noting(_of_the_same_images(ordered, "test"), classes, recalls))
    _require_same_accuracy(ordered, numbers)
    on_test = _against_chosen(ordered, numbers)
    on_val = _against_chosen(ordered, resample(_of_the_same_images(ordered, "val")))
    by_test = sorted(range(len(ordered)), key=lambda place: (-ordered[place].metrics.mean["test_accuracy"], place))
    entries = [
        _entry(each, of_each, recalled, on_test.get(each.name), on_val.get(each.name))
        for each, of_each, recalled in zip(ordered, numbers, recalls, strict=True)
    ]
    return Leaderboard(
        tuple(
            replace(entry, row=replace(entry.row, rank=place + 1, test_rank=by_test.index(place) + 1))
            for place, entry in enumerate(entries)
        )
    )


def _against_chosen(
    ordered: Sequence[Finished], numbers: Sequence[Mapping[str, Resampled]]
) -> dict[str, PairedComparison]:
    accuracies = {each.name: of_each[ACCURACY] for each, of_each in zip(ordered, numbers, strict=True)}
    return {pair.second: pair for pair in compare_with(ordered[0].name, accuracies)}


def _of_the_same_images(finished: Sequence[Finished], split: str) -> Iterator[Predictions]:
    """Yield the predictions of one row after another, and hold none of them."""
    labels = None
    for each in finished:
        predictions = each.read(split)
        labels = predictions.labels if labels is None else labels
        if not np.array_equal(predictions.labels, labels):
            raise ArtifactError(
                f"{each.name}: expected the {split} images of {finished[0].name}, found others; run `dvc repro`"
            )
        yield predictions
        del predictions


def _noting(
    predictions: Iterable[Predictions], classes: Sequence[str], recalls: list[ClassRecalls]
) -> Iterator[Predictions]:
    """Measure the classes of each row as it passes, so that it is read once."""
    for each in predictions:
        recalls.append(class_recalls(each, classes))
        yield each
        del each


def _require_same_accuracy(finished: Sequence[Finished], numbers: Sequence[Mapping[str, Resampled]]) -> None:
    for each, of_each in zip(finished, numbers, strict=True):
        expected, found = each.metrics.mean["test_accuracy"], float(of_each[ACCURACY].measured.mean())
        if not np.isclose(expected, found, rtol=0, atol=1e-6):
            raise ArtifactError(
                f"{each.name}: expected predictions of test accuracy {expected:.4f} as in metrics.json, "
                f"found {found:.4f}; run `dvc repro -f`"
            )


def _entry(
    finished: Finished,
    numbers: Mapping[str, Resampled],
    recalls: ClassRecalls,
    on_test: PairedComparison | None,
    on_val: PairedComparison | None,
) -> Entry:
    intervals = {name: interval(number) for name, number in numbers.items()}
    accuracy = numbers[ACCURACY]
    row = _row(finished, intervals[ACCURACY], recalls, differs=on_test is not None and on_test.is_shown)
    return Entry(row, finished, intervals, accuracy.num_images, accuracy, recalls, on_test, on_val)


def _row(finished: Finished, accuracy: Interval, recalls: ClassRecalls, *, differs: bool) -> Row:
    metrics, mean = finished.metrics, finished.metrics.mean
    best = finished.record.best if finished.record else None
    return Row(
        rank=0,
        test_rank=0,
        backbone=metrics.backbone,
        strategy=metrics.strategy,
        weights=str(best.configuration["weights"]["name"]) if best else "none",
        val_loss_mean=mean["val_loss"],
        val_accuracy_mean=mean["val_accuracy"],
        differs_from_chosen=differs,
        test_accuracy_mean=mean["test_accuracy"],
        test_accuracy_sd=metrics.sd["test_accuracy"],
        test_accuracy_low=max(0.0, accuracy.low),
        test_accuracy_high=min(1.0, accuracy.high),
        test_balanced_accuracy_mean=mean["test_balanced_accuracy"],
        test_macro_f1_mean=mean["test_macro_f1"],
        test_top_5_accuracy_mean=mean.get("test_top_5_accuracy"),
        test_macro_auroc_mean=mean.get("test_macro_auroc"),
        test_log_loss_mean=mean["test_log_loss"],
        test_calibration_error_mean=mean["test_expected_calibration_error"],
        test_scaled_calibration_error_mean=mean["test_scaled_calibration_error"],
        worst_class=recalls.worst.name,
        worst_class_recall=recalls.worst.recall or 0.0,
        worst_class_num_images=recalls.worst.num_images,
        learning_rate=best.choice.learning_rate if best else None,
        weight_decay=best.choice.weight_decay if best else None,
        learning_rate_at_edge=best.learning_rate_at_edge if best else None,
        num_trials=best.num_trials if best else None,
        num_pruned=best.num_pruned if best else None,
        num_epochs=best.num_epochs if best else None,
        num_seeds=metrics.num_seeds,
        num_parameters=metrics.num_parameters,
        num_trainable_parameters=metrics.num_trainable_parameters,
        num_macs=_num_macs(best) if best else None,
        model_bytes=metrics.model_bytes,
    )


def _num_macs(best: BestRecord) -> int | None:
    found = best.configuration["backbone"].get("num_macs")
    return None if found is None else int(found)
