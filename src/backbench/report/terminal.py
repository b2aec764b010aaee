"""The leaderboard in a terminal, and its answer: a table for people who watch, aligned plain lines for logs."""

from rich.console import Console

from backbench.comparison.answering import answer, rule
from backbench.comparison.leaderboard import Leaderboard, Row
from backbench.runtime.console import print_table

TEXTS = ("#", "backbone", "strategy")


def _cells(row: Row, *, with_classes: bool) -> dict[str, str]:
    rate = "" if row.learning_rate is None else f"{row.learning_rate:.2e}"
    edge = f" ({row.learning_rate_at_edge} edge)" if row.learning_rate_at_edge in ("low", "high") else ""
    classes = {"balanced accuracy": f"{row.test_balanced_accuracy_mean:.3f}", "worst class": row.worst_class_text}
    return {
        "#": str(row.rank),
        "backbone": row.backbone,
        "strategy": row.strategy,
        "val loss": f"{row.val_loss_mean:.3f}",
        "test accuracy": row.accuracy_text,
        **(classes if with_classes else {}),
        "95 % interval": row.interval_text,
        "val accuracy": f"{row.val_accuracy_mean:.3f}",
        "learning rate": rate + edge,
    }


def print_leaderboard(leaderboard: Leaderboard, console: Console) -> None:
    """Print the rows by validation, what was enlarged or failed, and last, where people look, the answer."""
    lines = [_cells(row, with_classes=leaderboard.may_hide_a_class) for row in leaderboard.rows]
    headings = tuple(lines[0])
    print_table(headings, [tuple(line.values()) for line in lines], console, numbers=set(headings) - set(TEXTS))
    for name, found in leaderboard.enlarged.items():
        print(f"{name}: {found}", flush=True)
    for name, reason in leaderboard.failed.items():
        print(f"no row: {name} failed at {reason}", flush=True)
    print(answer(leaderboard), rule(leaderboard), sep="\n", flush=True)
