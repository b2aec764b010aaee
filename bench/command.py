"""The command line of the benchmark: `python -m bench --help`."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from backbench.runtime.atomic_files import write_text
from backbench.runtime.locks import only_writer
from bench.rows import read_rows
from bench.runs import Bench
from bench.studies import BACKBONES, Study, study_of, tiny_study
from bench.summary import summarise
from bench.tables import markdown, print_summary, with_table
from bench.workers import ProcessWorker, start_in_process

ROOT = Path(__file__).parents[1]
RESULTS, WORK, PAGE = ROOT / "bench/results", ROOT / "work/bench", ROOT / "docs/performance.md"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m bench", description="Three ways to run the same study, side by side.")
    parser.add_argument("--suite", choices=BACKBONES, help="only this one")
    parser.add_argument("--backbone", help="only this one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, help="run so many trials of the other arms per repeat; default: all")
    parser.add_argument("--tiny", action="store_true", help="two trials of a slim backbone, to see that it runs")
    parser.add_argument("--write-docs", action="store_true", help="only bring docs/performance.md up to date")
    return parser.parse_args(arguments)


def chosen_studies(options: argparse.Namespace) -> list[Study]:
    """Return the studies that the command line names."""
    suites = [options.suite] if options.suite else list(BACKBONES)
    if options.tiny:
        return [tiny_study(suite) for suite in suites]
    studies = [study_of(suite, backbone) for suite in suites for backbone in BACKBONES[suite]]
    chosen = [study for study in studies if options.backbone in (None, study.backbone)]
    if not chosen:
        known = ", ".join(sorted({study.backbone for study in studies}))
        raise SystemExit(f"error: expected --backbone to be one of {known}, found {options.backbone}")
    return chosen


def table_of(suite: str, results: Path) -> Path:
    """Name the file of a suite's rows."""
    return results / f"{suite}.csv"


def write_docs(page: Path, results: Path) -> None:
    """Put the tables of every suite into the page."""
    text = page.read_text(encoding="utf-8")
    for suite, backbones in BACKBONES.items():
        rows = read_rows(table_of(suite, results))
        text = with_table(text, suite, markdown([summarise(study_of(suite, name), rows) for name in backbones]))
    write_text(page, text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Run what lacks, study after study, and print what came of it."""
    # Every arm's process inherits these; the project's arm records in a store of its own.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    root, results = (WORK / "tiny", WORK / "tiny") if options.tiny else (WORK, RESULTS)
    studies = chosen_studies(options)
    for study in studies:
        bench = Bench(table_of(study.suite, results), root, ProcessWorker, start_in_process, console.print)
        num_trials = study.num_trials if options.trials is None else min(options.trials, study.num_trials)
        bench.run(study, repeats=options.repeats, num_trials=num_trials)
    for study in studies:
        print_summary(summarise(study, read_rows(table_of(study.suite, results))), console)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark, or write its page."""
    options = parsed(arguments)
    if options.write_docs:
        write_docs(PAGE, RESULTS)
        return
    # The lock lies in work/; two benchmarks at once would time each other.
    os.chdir(ROOT)
    with only_writer("bench"):
        run(options, Console())
