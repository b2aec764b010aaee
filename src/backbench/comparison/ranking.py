"""From what every cell left to a leaderboard: ranked, and so chosen, by validation; then measured on test."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.comparison.class_recalls import ClassRecalls, class_recalls
from backbench.comparison.leaderboard import ACCURACY, Finished, Leaderboard, MeasuredCost, Row
from backbench.comparison.resampling import Resampled, inflation_of, resample
from backbench.comparison.uncertainty import compare_with, interval, may_be_best
from backbench.data.arrays.dataset import DESCRIPTION, MADE_BY, MANIFEST, sides_of
from backbench.data.arrays.file_formats import read_csv, read_json
from backbench.data.arrays.sizes import enlarged
from backbench.evaluation.predictions import Predictions, read_predictions
from backbench.results.compute import EMBED, STAGES, SWEEP, TRAIN, read_compute
from backbench.results.result_files import read_cell, read_metrics
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from backbench.runtime.known_files import known_json
from backbench.runtime.paths import Cell

# Of what the measure stage writes of a backbone, by the names that `MeasuredCost` has for it too.
SPEED = ("latency_p50_ms", "latency_p95_ms", "throughput_images_per_second", "device", "threads")


def read_leaderboard(cells: Sequence[Cell]) -> Leaderboard:
    """Read every cell of the benchmark and the pixels, and rank them.

    Raises:
        ArtifactError: a cell is missing, or its files do not fit together.
    """
    described = read_json(paths.DATASET / DESCRIPTION, made_by=MADE_BY)
    metrics = read_metrics(paths.BASELINE / "metrics.json", made_by="baseline")
    finished = [Finished(metrics, None, partial(read_predictions, paths.BASELINE_PREDICTIONS, "baseline"))]
    for cell in cells:
        record = read_cell(cell)
        finished.append(Finished(record.metrics, record, partial(read_predictions, cell.predictions, f"train@{cell}")))
    ranked = rank(finished, described["classes"], groups_of(described), described.get("folds"))
    return replace(ranked, rows=tuple(_with_enlarged_and_cost(row, described) for row in ranked.rows))


def _with_enlarged_and_cost(row: Row, described: Mapping[str, Any]) -> Row:
    """Say which images the backbone saw enlarged, of what `dataset.json` says, and what the cell cost here."""
    if row.record is None:
        return row
    input_pixels = row.record.best.configuration["backbone"]["input_size_pixels"]
    seen = enlarged(sides_of(described), described["image_size_pixels"], input_pixels)
    return replace(row, enlarged=seen, cost=measured_cost(row.record.cell))


def measured_cost(cell: Cell) -> MeasuredCost:
    """Read what was measured of a cell in `work/`, outside of everything that DVC hashes; nothing need be there."""
    speed = known_json(paths.cost(cell.backbone))
    known = {stage: compute for stage in STAGES if (compute := read_compute(stage, cell)) is not None}
    seconds = {stage: compute.seconds for stage, compute in known.items()}
    machines = [speed.get("machine"), *chain.from_iterable(compute.machines for compute in known.values())]
    return MeasuredCost(
        **{name: speed.get(name) for name in SPEED},
        peak_memory_bytes=max((compute.peak_memory_bytes for compute in known.values()), default=None),
        embed_seconds=seconds.get(EMBED),
        search_seconds=seconds.get(SWEEP),
        training_seconds=seconds.get(TRAIN),
        machine="; ".join(dict.fromkeys(name for name in machines if name)) or None,
    )


def groups_of(described: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """Return the group of each image of val and test, counted from 0, int `(num_images,)` by split.

    A split is left out where images are not grouped, as `dataset.json` says, and where all are of one group, for of
    that nothing can be drawn. In folds both are all images.
    """
    if "groups" not in described:
        return {}
    names: dict[str, dict[int, str]] = {"val": {}, "test": {}}
    for row in read_csv(paths.DATASET / MANIFEST, made_by=MADE_BY):
        splits = names if "folds" in described and row["split"] else [row["split"]]
        for split in names.keys() & set(splits):
            names[split][int(row["position"])] = row["group"]
    groups = {split: np.unique([of[place] for place in sorted(of)], return_inverse=True) for split, of in names.items()}
    return {split: numbers.astype(np.int64) for split, (known, numbers) in groups.items() if len(known) > 1}


def rank(
    finished: Sequence[Finished],
    classes: Sequence[str],
    groups: Mapping[str, NDArray[np.int64]] | None = None,
    folds: int | None = None,
) -> Leaderboard:
    """Sort by validation loss, the mean over the seeds of the final models, ties by name; then look at test.

    Validation loss chooses within a cell too, and accuracies are often equal on few validation images.

    Args:
        finished: The rows, in any order.
        classes: Their names, in the order of the labels.
        groups: What `groups_of` returns.
        folds: How many the images are in, None where they are split once.

    Raises:
        ArtifactError: predictions are not of the same images, or not those of metrics.json.
    """
    ordered = sorted(finished, key=lambda each: (each.val_loss, each.name))
    recalls: list[ClassRecalls] = []
    groups, inflation = groups or {}, inflation_of(folds)
    tested = _noting(_of_the_same_images(ordered, "test"), classes, recalls)
    numbers = resample(tested, groups.get("test"), inflation=inflation)
    _require_same_metrics(ordered, numbers)
    on_test = {pair.second: pair for pair in compare_with(ordered[0].name, _accuracies(ordered, numbers))}
    validated = resample(_of_the_same_images(ordered, "val"), groups.get("val"), inflation=inflation)
    on_val = _accuracies(ordered, validated)
    # The chosen has the lowest loss, whatever its accuracy.
    as_good_on_val = {ordered[0].name} | may_be_best(on_val)
    by_test = sorted(range(len(ordered)), key=lambda place: (-ordered[place].test_accuracy, place))
    rows = [
        Row(
            each.metrics,
            each.record,
            each.read,
            rank=place + 1,
            test_rank=by_test.index(place) + 1,
            intervals={name: interval(number) for name, number in of_each.items()},
            resampled=of_each[ACCURACY],
            recalls=recalled,
            on_test=on_test.get(each.name),
            is_worse_on_val=each.name not in as_good_on_val,
        )
        for place, (each, of_each, recalled) in enumerate(zip(ordered, numbers, recalls, strict=True))
    ]
    return Leaderboard(tuple(rows), classes, folds=folds)


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
