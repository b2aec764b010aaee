"""Markdown tables of the transfer measurements: formula weights against random weights, in percent."""

import math
from collections.abc import Iterator, Mapping

from backbench.evaluation.statistics import Interval
from backbench.runtime.markdown import markdown_table
from pretraining.transfer.intervals import paired_t_interval, t_interval
from pretraining.transfer.measurements import FINE_TUNING, FORMULA, LINEAR_PROBE, METHODS, RANDOM, Key
from pretraining.transfer.subsets import Measurement

BEGIN, END = "<!-- transfer tables: begin -->", "<!-- transfer tables: end -->"
HEADLINE_DATASET, HEADLINE_PER_CLASS = "photodigits", 20
MISSING = "–"

Cell = tuple[str, str, str, int]
BySeed = dict[Cell, dict[str, dict[int, float]]]


def _by_seed(rows: Mapping[Key, Measurement]) -> BySeed:
    """Sort test accuracies by (data set, method, backbone, per class), then weights, then seed."""
    sorted_rows: BySeed = {}
    for key, value in rows.items():
        cell = (key.dataset, key.method, key.backbone, key.per_class)
        sorted_rows.setdefault(cell, {}).setdefault(key.weights, {})[key.seed] = value.test_accuracy
    return sorted_rows


def _num_seeds(rows: Mapping[Key, Measurement]) -> int:
    return len({key.seed for key in rows})


def mean_text(by_seed: Mapping[int, float] | None, num_seeds: int) -> str:
    """Spell a mean and half the width of its interval; says so where some seeds are not measured yet."""
    if not by_seed:
        return MISSING
    interval = t_interval(list(by_seed.values()))
    half = (interval.high - interval.low) / 2
    spread = f" ± {100 * half:.1f}" if math.isfinite(half) else ""
    few = f" (n={len(by_seed)})" if len(by_seed) < num_seeds else ""
    return f"{100 * interval.estimate:.1f}{spread}{few}"


def _interval_text(interval: Interval) -> str:
    spread = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if math.isfinite(interval.low) else ""
    return f"{100 * interval.estimate:+.1f}{spread}"


def _difference(arms: Mapping[str, Mapping[int, float]]) -> str:
    first, second = arms.get(FORMULA, {}), arms.get(RANDOM, {})
    return _interval_text(paired_t_interval(first, second)) if first.keys() & second.keys() else MISSING


def headline(rows: Mapping[Key, Measurement]) -> str:
    """Tabulate the linear probe and fine-tuning on photodigits at 20 images a class, one row per backbone."""
    by_seed, num_seeds = _by_seed(rows), _num_seeds(rows)
    lines = []
    for backbone in sorted({key.backbone for key in rows}):
        line = [backbone]
        for method in (LINEAR_PROBE, FINE_TUNING):
            arms = by_seed.get((HEADLINE_DATASET, method, backbone, HEADLINE_PER_CLASS), {})
            line += [mean_text(arms.get(FORMULA), num_seeds), mean_text(arms.get(RANDOM), num_seeds), _difference(arms)]
        lines.append(line)
    probe = ["linear probe, formula", "linear probe, random", "difference [95 % interval]"]
    tuned = ["fine-tuned from formula", "from scratch", "difference [95 % interval]"]
    return markdown_table(["backbone", *probe, *tuned], lines)


def _method_tables(rows: Mapping[Key, Measurement]) -> Iterator[str]:
    by_seed, num_seeds = _by_seed(rows), _num_seeds(rows)
    for dataset in sorted({key.dataset for key in rows}):
        for method in METHODS:
            cells = [key for key in by_seed if key[:2] == (dataset, method)]
            if not cells:
                continue
            counts = sorted({cell[3] for cell in cells})
            lines = []
            for backbone in sorted({cell[2] for cell in cells}):
                arms = [by_seed.get((dataset, method, backbone, count), {}) for count in counts]
                texts = [
                    f"{mean_text(arm.get(FORMULA), num_seeds)} / {mean_text(arm.get(RANDOM), num_seeds)}"
                    for arm in arms
                ]
                lines.append([backbone, *texts])
            headings = ["backbone", *(f"{count} a class" for count in counts)]
            yield f"**{dataset}, {method.replace('_', ' ')}**\n\n{markdown_table(headings, lines)}"


def tables(rows: Mapping[Key, Measurement]) -> str:
    """Return the headline table and a table per data set and method, as Markdown.

    Cells of the latter are formula / random test accuracy; ± is half a 95 % t interval over seeds.
    """
    if not rows:
        return "Nothing is measured yet."
    title = f"**{HEADLINE_DATASET}, {HEADLINE_PER_CLASS} images a class**"
    note = (
        f"Test accuracy in percent, mean ± half of the 95 % t interval; number of seeds: {_num_seeds(rows)}. "
        "In the tables below, each cell is formula / random."
    )
    return "\n\n".join([title, headline(rows), note, *_method_tables(rows)])


def with_tables(page: str, text: str) -> str | None:
    """Put `text` between the page's two marks; None where the page does not have both, in order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        return None
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
