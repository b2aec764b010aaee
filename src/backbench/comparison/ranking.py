"""From what every cell left to a leaderboard: ranked, and so chosen, by validation; then measured on test."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from backbench.comparison.class_recalls import ClassRecalls, class_recalls
from backbench.comparison.leaderboard import ACCURACY, Entry, Finished, Leaderboard, Row
from backbench.comparison.resampling import Resampled, resample
from backbench.comparison.uncertainty import PairedComparison, compare_with, interval, may_be_best
from backbench.data.dataset import DESCRIPTION, MADE_BY, sides_of
from backbench.data.file_formats import read_json
from backbench.data.sizes import enlarged
from backbench.evaluation.predictions import Predictions, read_predictions
from backbench.evaluation.statistics import Interval
from backbench.results.records import BestRecord
from backbench.results.result_files import read_cell, read_metrics
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from backbench.runtime.paths import Cell


def read_leaderboard(cells: Sequence[Cell]) -> Leaderboard:
    """Read every cell of the benchmark and the pixels, and rank them.

    Raises:
        ArtifactError: a cell is missing, or its files do not fit together.
    """
    described = read_json(paths.DATASET / DESCRIPTION, made_by=MADE_BY)
    ranked = rank([*(_finished_cell(cell) for cell in cells), _finished_pixels()], described["classes"])
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
    return Finished(record.metrics, record, lambda split: read(split=split))


def _finished_pixels() -> Finished:
    metrics = read_metrics(paths.BASELINE / "metrics.json", made_by="baseline")
    read = partial(read_predictions, paths.BASELINE_PREDICTIONS, made_by="baseline")
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
    _require_same_metrics(ordered, numbers)
    on_test = _against_chosen(ordered, numbers)
    # The chosen has the lowest loss, whatever its accuracy.
    as_good_on_val = {ordered[0].name} | may_be_best(
        _accuracies(ordered, resample(_of_the_same_images(ordered, "val")))
    )
    by_test = sorted(range(len(ordered)), key=lambda place: (-ordered[place].metrics.mean["test_accuracy"], place))
    entries = [
        _entry(each, of_each, recalled, on_test.get(each.name), is_worse_on_val=each.name not in as_good_on_val)
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
    return {pair.second: pair for pair in compare_with(ordered[0].name, _accuracies(ordered, numbers))}


def _accuracies(ordered: Sequence[Finished], numbers: Sequence[Mapping[str, Resampled]]) -> dict[str, Resampled]:
    return {each.name: of_each[ACCURACY] for each, of_each in zip(ordered, numbers, strict=True)}


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


def _require_same_metrics(finished: Sequence[Finished], numbers: Sequence[Mapping[str, Resampled]]) -> None:
    """Refuse rows of which any headline number in metrics.json is not the one that is measured here."""
    compared = [
        (each.name, name, each.metrics.mean.get(f"test_{name}", np.nan), number.mean)
        for each, of_each in zip(finished, numbers, strict=True)
        for name, number in of_each.items()
    ]
    others = [
        f"{row}: expected predictions of test {name.replace('_', ' ')} {expected:.4f} as in metrics.json, "
        f"found {found:.4f}; run `dvc repro -f`"
        for row, name, expected, found in compared
        if not np.isclose(expected, found, rtol=0, atol=1e-6)
    ]
    if others:
        raise ArtifactError(*others)


def _entry(
    finished: Finished,
    numbers: Mapping[str, Resampled],
    recalls: ClassRecalls,
    on_test: PairedComparison | None,
    *,
    is_worse_on_val: bool,
) -> Entry:
    intervals = {name: interval(number) for name, number in numbers.items()}
    accuracy = numbers[ACCURACY]
    row = _row(finished, intervals[ACCURACY], recalls, differs=on_test is not None and on_test.is_shown)
    return Entry(row, finished, intervals, accuracy.num_images, accuracy, recalls, on_test, is_worse_on_val)


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
