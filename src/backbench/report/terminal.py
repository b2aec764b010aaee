"""The leaderboard in a terminal: a table for people who watch, aligned plain lines for logs."""

from rich.console import Console

from backbench.console import print_table
from backbench.leaderboard import Leaderboard, Row

HEADINGS = ("#", "backbone", "strategy", "test accuracy", "95 % interval", "val accuracy", "learning rate")
NUM_TEXT_COLUMNS = 3


def _cells(row: Row) -> tuple[str, ...]:
    rate = "" if row.learning_rate is None else f"{row.learning_rate:.2e}"
    edge = f" ({row.learning_rate_at_edge} edge)" if row.learning_rate_at_edge in ("low", "high") else ""
    return (
        str(row.rank),
        row.backbone,
        row.strategy,
        row.accuracy_text,
        row.interval_text,
        f"{row.val_accuracy_mean:.3f}",
        rate + edge,
    )


def print_leaderboard(leaderboard: Leaderboard, console: Console) -> None:
    """Print the rows in their order, which of them saw enlarged images, then what failed and has none."""
    print_table(HEADINGS, [_cells(row) for row in leaderboard.rows], console, numbers=HEADINGS[NUM_TEXT_COLUMNS:])
    for name, found in leaderboard.enlarged.items():
        print(f"{name}: {found}", flush=True)
    for name, reason in leaderboard.failed.items():
        print(f"no row: {name} failed at {reason}", flush=True)
