"""The compare stage: every cell of the benchmark and the pixels, ranked, drawn, and published to MLflow."""

import shutil
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from rich.console import Console

from backbench.comparison.conclusions import answer, rule, spelt_rows
from backbench.comparison.leaderboard import Leaderboard, cells_of
from backbench.comparison.ranking import read_leaderboard
from backbench.comparison.tables import scores, summary, write_tables
from backbench.config.config import BenchmarkConfig
from backbench.config.running_config import TrackingConfig
from backbench.data.arrays.dataset import ALL, DESCRIPTION, MADE_BY, MANIFEST, images_file, labels_file, split_names
from backbench.data.arrays.file_formats import read_array, read_csv, read_json, write_json
from backbench.report.near_copies import near_copies
from backbench.report.page import DataCard, render_page
from backbench.runtime import paths
from backbench.runtime.atomic_files import put_folder_in_place, write_text
from backbench.runtime.console import print_table, progress_bar
from backbench.runtime.environment import look_around
from backbench.runtime.errors import TrackingError
from backbench.tracking.models import registered_name
from backbench.tracking.publishing import publish_benchmark, run_notes, verbatim
from backbench.tracking.refusals import until_back
from backbench.tracking.store_address import store_shown


def compare(benchmark: BenchmarkConfig, tracking: TrackingConfig, failed: Mapping[str, str] | None = None) -> str:
    """Write leaderboard, summary and report, publish what MLflow lacks, and return the line that says where to look.

    `failed` says which of the cells are left out, and why: an earlier run may have left files of them.

    Raises:
        BackbenchError: a cell is missing, or the MLflow store cannot be reached.
    """
    failed = failed or {}
    cells = [cell for cell in cells_of(benchmark.backbones, benchmark.strategies) if str(cell) not in failed]
    leaderboard = replace(read_leaderboard(cells), failed=failed)
    card = data_card()
    write_results(leaderboard)
    _write_report(render_page(leaderboard, card, look_around()))
    _publish(leaderboard, card, tracking)
    print_leaderboard(leaderboard, Console())
    return f"open {paths.REPORT / 'index.html'}, or run `make ui` for every trial"


def write_results(leaderboard: Leaderboard) -> None:
    """Write the leaderboard, what was found of it, and what DVC's plots and metrics show of all cells at once."""
    write_tables(leaderboard)
    write_json(paths.SUMMARY, summary(leaderboard))
    shutil.rmtree(paths.SCORES, ignore_errors=True)
    for name, content in scores(leaderboard).items():
        write_json(paths.SCORES / f"{name}.json", content)


def data_card() -> DataCard:
    """Gather what the page says of the images; those of the test split are read when they are looked at."""
    content = read_json(paths.DATASET / DESCRIPTION, made_by=MADE_BY)
    manifest, folds = read_csv(paths.DATASET / MANIFEST, made_by=MADE_BY), content.get("folds")
    array_of = {split: split if folds is None else ALL for split in split_names(folds)}
    images = {name: read_array(images_file(paths.DATASET, name), made_by=MADE_BY) for name in set(array_of.values())}
    trained, tested = array_of.get("train", ALL), array_of.get("test", ALL)
    labels = read_array(labels_file(paths.DATASET, trained), made_by=MADE_BY)
    return DataCard(
        content,
        samples=[images[trained][int(np.argmax(labels == label))] for label in range(len(content["classes"]))],
        test_images=images[tested],
        manifest=manifest,
        near_copies=near_copies(manifest, {split: images[name] for split, name in array_of.items()}),
    )


def _write_report(page: str) -> None:
    """Put a whole new folder in the old one's place, so that no file of an earlier report stays."""
    folder = paths.STATE / "report"
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / "index.html", page)
    put_folder_in_place(folder, paths.REPORT)


def _publish(leaderboard: Leaderboard, card: DataCard, tracking: TrackingConfig) -> None:
    records = [record for _, record in leaderboard.cells]
    model_name = registered_name(tracking.experiment)
    notes = run_notes(leaderboard, answer(leaderboard, verbatim), dataset=card.content, model_name=model_name)
    if notes is None:
        return

    def publish() -> None:
        with progress_bar("publish to MLflow", len(records), "cells") as advance:
            publish_benchmark(tracking, records, notes, advance)

    try:
        until_back(publish, store_shown(tracking.uri), patience_seconds=tracking.patience_seconds)
    except TrackingError as error:
        raise type(error)(f"{error}; results and report are written, `make report` publishes them") from error


def print_leaderboard(leaderboard: Leaderboard, console: Console) -> None:
    """Print the rows by validation, what was enlarged or failed, and last, where people look, the answer."""
    lines = spelt_rows(leaderboard)
    headings = tuple(lines[0])
    numbers = set(headings) - {"#", "backbone", "strategy"}
    print_table(headings, [tuple(line.values()) for line in lines], console, numbers=numbers)
    for name, found in leaderboard.enlarged.items():
        print(f"{name}: {found}", flush=True)
    for name, reason in leaderboard.failed.items():
        print(f"no row: {name} failed at {reason}", flush=True)
    print(answer(leaderboard), rule(leaderboard), sep="\n", flush=True)
