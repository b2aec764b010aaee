"""Every cell and the pixels, ranked by mean test accuracy, with intervals, and who is tied with the best."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np

from backbench import artifacts
from backbench.artifacts import Cell
from backbench.data.dataset import DESCRIPTION, MADE_BY, sides_of
from backbench.data.sizes import Enlarged, enlarged
from backbench.errors import ArtifactError
from backbench.predictions import Predictions, read_predictions
from backbench.records import BestRecord, CellRecord, MetricsRecord, read_cell, read_metrics
from backbench.resampling import Resampled, resample
from backbench.statistics import Interval
from backbench.uncertainty import PairedComparison, compare_all, interval, tied_with

PIXELS = "pixels"
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; None where the pixels have no such thing, or one seed has no spread.

    `is_tied` where no difference to the best is shown, all pairs of rows allowed for; the best is tied with itself.
    `num_epochs` counts those of all trials together, the `num_pruned` pruned ones included.
    `test_accuracy_low` and `_high` bound the 95 % interval over test images and seeds.
    `model_bytes` is what the files of one model take, `num_macs` those of the backbone for one image.
    `enlarged_share` is the share of all images that have fewer pixels than the backbone takes.
    """

    rank: int
    backbone: str
    strategy: str
    weights: str
    is_tied: bool
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
    val_accuracy_mean: float
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
    def interval_text(self) -> str:
        return f"{self.test_accuracy_low:.3f} to {self.test_accuracy_high:.3f}"


COLUMNS = tuple(each.name for each in fields(Row))


@dataclass(frozen=True)
class Finished:
    """What one row is made of; `record` is None for the pixels.

    Probabilities of all cells at once would not fit into memory, so `read` brings those of this one when it is asked.
    """

    metrics: MetricsRecord
    record: CellRecord | None
    read: Callable[[], Predictions]

    @property
    def name(self) -> str:
        return f"{self.metrics.backbone}-{self.metrics.strategy}"


@dataclass(frozen=True)
class Entry:
    """A row with what it was made of.

    `behind` is the best minus this one, None for the best itself. `intervals` are those of the headline numbers, over
    `num_images` test images. `enlarged` says which images the backbone saw enlarged; None for the pixels.
    """

    row: Row
    finished: Finished
    intervals: Mapping[str, Interval]
    num_images: int
    behind: PairedComparison | None = None
    enlarged: Enlarged | None = None

    @property
    def record(self) -> CellRecord | None:
        return self.finished.record

    @property
    def predictions(self) -> Predictions:
        """The row's predictions, read anew: who looks at them twice keeps them."""
        return self.finished.read()


@dataclass(frozen=True)
class Leaderboard:
    """Entries from best to worst, and the comparison of every two of them, the better one first.

    `failed` says of each cell that has no row why.
    """

    entries: tuple[Entry, ...]
    comparisons: tuple[PairedComparison, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [entry.row for entry in self.entries]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def baseline(self) -> Entry:
        return next(entry for entry in self.entries if entry.row.is_baseline)

    @property
    def enlarged(self) -> dict[str, Enlarged]:
        """Which images were enlarged, by the name of each backbone that saw some."""
        seen = sorted(self.entries, key=lambda entry: entry.row.backbone)
        return {each.row.backbone: each.enlarged for each in seen if each.enlarged and each.enlarged.num_enlarged}

    @property
    def tied(self) -> list[Row]:
        """The best, and every row that no difference to it is shown of."""
        return [row for row in self.rows if row.is_tied]


def cells_of(backbones: Sequence[str], strategies: Sequence[str]) -> list[Cell]:
    """Name the grid of the benchmark, in its order; files of other cells are not looked at."""
    return [Cell(backbone, strategy) for backbone in backbones for strategy in strategies]


def read_leaderboard(cells: Sequence[Cell]) -> Leaderboard:
    """Read every cell of the benchmark and the pixels, and rank them.

    Raises:
        ArtifactError: a cell is missing, or its files do not fit together.
    """
    ranked = rank([*(_finished_cell(cell) for cell in cells), _finished_pixels()])
    described = artifacts.read_json(artifacts.DATASET / DESCRIPTION, made_by=MADE_BY)
    return replace(ranked, entries=tuple(_with_enlarged(entry, described) for entry in ranked.entries))


def _with_enlarged(entry: Entry, described: Mapping[str, Any]) -> Entry:
    """Say which images the backbone saw enlarged, of what `dataset.json` says."""
    if entry.record is None:
        return entry
    input_pixels = entry.record.best.configuration["backbone"]["input_size_pixels"]
    found = enlarged(sides_of(described), described["image_size_pixels"], input_pixels)
    return replace(entry, enlarged=found, row=replace(entry.row, enlarged_share=found.share))


def _finished_cell(cell: Cell) -> Finished:
    record = read_cell(cell)
    read = partial(read_predictions, cell.predictions, made_by=f"train@{cell}")
    return Finished(record.metrics, record, read)


def _finished_pixels() -> Finished:
    metrics = read_metrics(artifacts.BASELINE / "metrics.json", made_by="baseline")
    return Finished(metrics, None, partial(read_predictions, artifacts.BASELINE_PREDICTIONS, made_by="baseline"))


def rank(finished: Sequence[Finished]) -> Leaderboard:
    """Sort by mean test accuracy, ties by name; compare every two on the same images.

    Raises:
        ArtifactError: predictions are not of the same test images, or not those of metrics.json.
    """
    ordered = sorted(finished, key=lambda each: (-each.metrics.mean["test_accuracy"], each.name))
    numbers = resample(_of_the_same_images(ordered))
    _require_same_accuracy(ordered, numbers)
    names = [each.name for each in ordered]
    comparisons = compare_all(dict(zip(names, (each[ACCURACY] for each in numbers), strict=True)))
    tied = tied_with(names[0], comparisons)
    behind = {pair.second: pair for pair in comparisons if pair.first == names[0]}
    entries = [_entry(each, of_each, is_tied=each.name in tied) for each, of_each in zip(ordered, numbers, strict=True)]
    ranked = [
        replace(entry, row=replace(entry.row, rank=place), behind=behind.get(entry.row.name))
        for place, entry in enumerate(entries, start=1)
    ]
    return Leaderboard(tuple(ranked), tuple(comparisons))


def _of_the_same_images(finished: Sequence[Finished]) -> Iterator[Predictions]:
    """Yield the predictions of one row after another, and hold none of them."""
    labels = None
    for each in finished:
        predictions = each.read()
        labels = predictions.labels if labels is None else labels
        if not np.array_equal(predictions.labels, labels):
            raise ArtifactError(
                f"{each.name}: expected the test images of {finished[0].name}, found others; run `dvc repro`"
            )
        yield predictions
        del predictions


def _require_same_accuracy(finished: Sequence[Finished], numbers: Sequence[Mapping[str, Resampled]]) -> None:
    for each, of_each in zip(finished, numbers, strict=True):
        expected, found = each.metrics.mean["test_accuracy"], float(of_each[ACCURACY].measured.mean())
        if not np.isclose(expected, found, rtol=0, atol=1e-6):
            raise ArtifactError(
                f"{each.name}: expected predictions of test accuracy {expected:.4f} as in metrics.json, "
                f"found {found:.4f}; run `dvc repro -f`"
            )


def _entry(finished: Finished, numbers: Mapping[str, Resampled], *, is_tied: bool) -> Entry:
    intervals = {name: interval(number) for name, number in numbers.items()}
    row = _row(finished, intervals[ACCURACY], is_tied=is_tied)
    return Entry(row, finished, intervals, numbers[ACCURACY].num_images)


def _row(finished: Finished, accuracy: Interval, *, is_tied: bool) -> Row:
    metrics, mean = finished.metrics, finished.metrics.mean
    best = finished.record.best if finished.record else None
    return Row(
        rank=0,
        backbone=metrics.backbone,
        strategy=metrics.strategy,
        weights=str(best.configuration["weights"]["name"]) if best else "none",
        is_tied=is_tied,
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
        val_accuracy_mean=mean["val_accuracy"],
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
