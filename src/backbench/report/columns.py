"""The leaderboard's columns: what each shows, what it sorts by, and which end of it is the better one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from backbench.comparison.choosing import LATENCY, SECONDS, SIZE
from backbench.comparison.leaderboard import Leaderboard, Row, value_at
from backbench.runtime.units import UNKNOWN, duration, short_count, size

BALANCED, WORST_CLASS = "balanced accuracy", "worst class"
# What a machine may not have measured, and where a row has it.
MEASURED = {
    "latency": LATENCY,
    "throughput": "cost.throughput_images_per_second",
    "peak memory": "cost.peak_memory_bytes",
    "time of search and training": SECONDS,
    "model size": SIZE,
}


@dataclass(frozen=True)
class Column:
    """A column: where a row has its value, and how that is spelt; a dash where there is none.

    `spell` spells the value, and `spell_row` the row, of which more may be said. Columns that are not `is_core` are
    shown on demand. `high_first` where more is better.
    """

    heading: str
    path: str
    spell: Callable[[Any], str] = str
    is_core: bool = False
    is_text: bool = False
    high_first: bool = True
    spell_row: Callable[[Row], str] | None = None

    def value(self, row: Row) -> Any:
        """Return what a row sorts by; None is neither high nor low and sorts last."""
        return value_at(row, self.path)

    def text(self, row: Row) -> str:
        value = self.value(row)
        if value is None:
            return UNKNOWN
        return self.spell(value) if self.spell_row is None else self.spell_row(row)


def leaderboard_columns(leaderboard: Leaderboard) -> list[Column]:
    """Choose the columns that some row has a value of; where an accuracy may hide a class, what shows it is core."""
    beside = {BALANCED, WORST_CLASS} if leaderboard.may_hide_a_class else set()
    return [
        replace(each, is_core=True) if each.heading in beside else each
        for each in COLUMNS
        if any(each.value(row) is not None for row in leaderboard.rows)
    ]


def missing(leaderboard: Leaderboard) -> list[str]:
    """Name what was measured of no row on this machine."""
    return [name for name, path in MEASURED.items() if all(value_at(row, path) is None for row in leaderboard.rows)]


def _beside_chosen(row: Row) -> str:
    gap = row.beside_chosen
    if row.on_test is None:
        return "chosen"
    equal = "" if row.differs_from_chosen else "≈ "
    return f"{equal}{gap.estimate:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def _calibration(row: Row) -> str:
    mean = row.metrics.mean
    return f"{mean['test_ece']:.3f} → {mean['test_ece_after_temperature_scaling']:.3f}"


def _trials(row: Row) -> str:
    assert row.record is not None
    best = row.record.best
    return f"{best.num_trials}" + (f" ({best.num_pruned} pruned)" if best.num_pruned else "")


share, count, rate, milliseconds = "{:.3f}".format, "{:,}".format, "{:.2e}".format, "{:.3g} ms".format
COLUMNS = (
    Column("#", "rank", is_core=True, high_first=False),
    Column("val loss", "val_loss", share, is_core=True, high_first=False),
    Column("test accuracy", "test_accuracy", is_core=True, spell_row=lambda row: row.accuracy_text),
    Column(BALANCED, "balanced_accuracy", share),
    Column("backbone", "backbone", is_core=True, is_text=True, high_first=False),
    Column("strategy", "strategy", is_core=True, is_text=True, high_first=False),
    Column(WORST_CLASS, "recalls.worst.recall", spell_row=lambda row: row.recalls.worst.text()),
    Column("95 % interval", "interval.low", is_core=True, spell_row=lambda row: row.interval_text),
    Column("beside the chosen", "beside_chosen.estimate", is_core=True, spell_row=_beside_chosen),
    Column("latency", LATENCY, milliseconds, is_core=True, high_first=False),
    Column("model size", SIZE, size, is_core=True, high_first=False),
    Column("search + training", SECONDS, duration, is_core=True, high_first=False),
    Column(
        "learning rate", "record.best.choice.learning_rate", is_core=True, spell_row=lambda row: row.learning_rate_text
    ),
    Column("macro F1", "metrics.mean.test_macro_f1", share),
    Column("top-5 accuracy", "metrics.mean.test_top_5_accuracy", share),
    Column("macro AUROC", "metrics.mean.test_macro_auroc", share),
    Column("log loss", "metrics.mean.test_log_loss", share, high_first=False),
    Column("calibration error", "metrics.mean.test_ece", high_first=False, spell_row=_calibration),
    Column("rank on test", "test_rank", high_first=False),
    Column("val accuracy", "val_accuracy", share),
    Column("weight decay", "record.best.choice.weight_decay", rate),
    Column("latency p95", "cost.latency_p95_ms", milliseconds, high_first=False),
    Column("throughput", "cost.throughput_images_per_second", "{:,.0f} img/s".format),
    Column("peak memory", "cost.peak_memory_bytes", size, high_first=False),
    Column("embedding", "cost.embed_seconds", duration, high_first=False),
    Column("multiply-adds", "record.best.configuration.backbone.num_macs", short_count, high_first=False),
    Column("parameters", "metrics.num_parameters", count, high_first=False),
    Column("of them trained", "metrics.num_trainable_parameters", count, high_first=False),
    Column("trials", "record.best.num_trials", spell_row=_trials),
    Column("epochs", "record.best.num_epochs", count),
    Column("seeds", "metrics.num_seeds", count),
    Column("enlarged images", "enlarged.share", "{:.0%}".format, high_first=False),
    Column("weights", "weights", is_text=True, high_first=False),
)
