"""The leaderboard's columns: what each shows, what it sorts by, and which end of it is the better one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from backbench.comparison.costs import MeasuredCost
from backbench.comparison.leaderboard import Entry, Leaderboard
from backbench.report.costing import cost_of, total_seconds
from backbench.runtime.units import UNKNOWN, duration, short_count, size

Value = float | str | None
BALANCED, WORST_CLASS = "balanced accuracy", "worst class"


@dataclass(frozen=True)
class Shown:
    """A cell of the table: its text, and what it sorts by; None is neither high nor low and sorts last."""

    text: str
    value: Value


Show = Callable[[Entry, MeasuredCost], Shown]


@dataclass(frozen=True)
class Column:
    """A column; those that are not `is_core` are shown on demand. `high_first` where more is better."""

    heading: str
    show: Show
    is_core: bool = False
    is_text: bool = False
    high_first: bool = True


@dataclass(frozen=True)
class TableRow:
    """An entry as the table shows it, a cell per column."""

    entry: Entry
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Table:
    """Columns and rows; columns that no row has a value of are left out."""

    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]


def leaderboard_table(leaderboard: Leaderboard, costs: Mapping[str, MeasuredCost]) -> Table:
    """Lay the leaderboard out; where an accuracy may hide a class, what would show that stands beside it."""
    beside = {BALANCED, WORST_CLASS} if leaderboard.may_hide_a_class else set()
    shown = [
        [column.show(entry, cost_of(entry.row, costs)) for column in COLUMNS_IN_ORDER] for entry in leaderboard.entries
    ]
    kept = [place for place in range(len(COLUMNS_IN_ORDER)) if any(cells[place].value is not None for cells in shown)]
    rows = [
        TableRow(entry, tuple(cells[place] for place in kept))
        for entry, cells in zip(leaderboard.entries, shown, strict=True)
    ]
    columns = [COLUMNS_IN_ORDER[place] for place in kept]
    return Table(
        tuple(replace(each, is_core=True) if each.heading in beside else each for each in columns), tuple(rows)
    )


def _spelt(value: float | None, spell: Callable[[float], str]) -> Shown:
    return Shown(UNKNOWN if value is None else spell(value), value)


def _share(value: float | None) -> Shown:
    return _spelt(value, "{:.3f}".format)


def _count(value: float | None) -> Shown:
    return _spelt(value, "{:,.0f}".format)


def _accuracy(entry: Entry, cost: MeasuredCost) -> Shown:
    return Shown(entry.row.accuracy_text, entry.row.test_accuracy_mean)


def _interval(entry: Entry, cost: MeasuredCost) -> Shown:
    return Shown(entry.row.interval_text, entry.row.test_accuracy_low)


def _against_chosen(entry: Entry, cost: MeasuredCost) -> Shown:
    gap = entry.beside_chosen
    if gap is None:
        return Shown("chosen", 0.0)
    equal = "" if entry.row.differs_from_chosen else "≈ "
    return Shown(f"{equal}{gap.estimate:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})", gap.estimate)


def _worst_class(entry: Entry, cost: MeasuredCost) -> Shown:
    return Shown(entry.row.worst_class_text, entry.row.worst_class_recall)


def _learning_rate(entry: Entry, cost: MeasuredCost) -> Shown:
    edge = entry.row.learning_rate_at_edge
    note = f" ({edge} edge)" if edge in ("low", "high") else ""
    return _spelt(entry.row.learning_rate, lambda value: f"{value:.2e}{note}")


def _calibration(entry: Entry, cost: MeasuredCost) -> Shown:
    before, after = entry.row.test_calibration_error_mean, entry.row.test_scaled_calibration_error_mean
    return Shown(f"{before:.3f} → {after:.3f}", before)


def _trials(entry: Entry, cost: MeasuredCost) -> Shown:
    pruned = f" ({entry.row.num_pruned} pruned)" if entry.row.num_pruned else ""
    return _spelt(entry.row.num_trials, lambda value: f"{value:.0f}{pruned}")


def _milliseconds(value: float | None) -> Shown:
    return _spelt(value, "{:.3g} ms".format)


COLUMNS_IN_ORDER = (
    Column("#", lambda entry, cost: Shown(str(entry.row.rank), entry.row.rank), is_core=True, high_first=False),
    Column("val loss", lambda entry, cost: _share(entry.row.val_loss_mean), is_core=True, high_first=False),
    Column("test accuracy", _accuracy, is_core=True),
    Column(BALANCED, lambda entry, cost: _share(entry.row.test_balanced_accuracy_mean)),
    Column(
        "backbone",
        lambda entry, cost: Shown(entry.row.backbone, entry.row.backbone),
        is_core=True,
        is_text=True,
        high_first=False,
    ),
    Column(
        "strategy",
        lambda entry, cost: Shown(entry.row.strategy, entry.row.strategy),
        is_core=True,
        is_text=True,
        high_first=False,
    ),
    Column(WORST_CLASS, _worst_class),
    Column("95 % interval", _interval, is_core=True),
    Column("beside the chosen", _against_chosen, is_core=True),
    Column("latency", lambda entry, cost: _milliseconds(cost.latency_p50_ms), is_core=True, high_first=False),
    Column("model size", lambda entry, cost: _spelt(entry.row.model_bytes, size), is_core=True, high_first=False),
    Column(
        "search + training",
        lambda entry, cost: _spelt(total_seconds(cost), duration),
        is_core=True,
        high_first=False,
    ),
    Column("learning rate", _learning_rate, is_core=True),
    Column("macro F1", lambda entry, cost: _share(entry.row.test_macro_f1_mean)),
    Column("top-5 accuracy", lambda entry, cost: _share(entry.row.test_top_5_accuracy_mean)),
    Column("macro AUROC", lambda entry, cost: _share(entry.row.test_macro_auroc_mean)),
    Column("log loss", lambda entry, cost: _share(entry.row.test_log_loss_mean), high_first=False),
    Column("calibration error", _calibration, high_first=False),
    Column("rank on test", lambda entry, cost: Shown(str(entry.row.test_rank), entry.row.test_rank), high_first=False),
    Column("val accuracy", lambda entry, cost: _share(entry.row.val_accuracy_mean)),
    Column("weight decay", lambda entry, cost: _spelt(entry.row.weight_decay, "{:.2e}".format)),
    Column("latency p95", lambda entry, cost: _milliseconds(cost.latency_p95_ms), high_first=False),
    Column(
        "throughput", lambda entry, cost: _spelt(cost.throughput_images_per_second, lambda value: f"{value:,.0f} img/s")
    ),
    Column("peak memory", lambda entry, cost: _spelt(cost.peak_memory_bytes, size), high_first=False),
    Column("embedding", lambda entry, cost: _spelt(cost.embed_seconds, duration), high_first=False),
    Column(
        "multiply-adds",
        lambda entry, cost: _spelt(entry.row.num_macs, short_count),
        high_first=False,
    ),
    Column("parameters", lambda entry, cost: _count(entry.row.num_parameters), high_first=False),
    Column("of them trained", lambda entry, cost: _count(entry.row.num_trainable_parameters), high_first=False),
    Column("trials", _trials),
    Column("epochs", lambda entry, cost: _count(entry.row.num_epochs)),
    Column("seeds", lambda entry, cost: _count(entry.row.num_seeds)),
    Column("enlarged images", lambda entry, cost: _spelt(entry.row.enlarged_share, "{:.0%}".format), high_first=False),
    Column("weights", lambda entry, cost: Shown(entry.row.weights, entry.row.weights), is_text=True, high_first=False),
)
