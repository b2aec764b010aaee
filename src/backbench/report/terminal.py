"""The leaderboard in a terminal, and its answer: a table for people who watch, aligned plain lines for logs."""

from rich.console import Console

from backbench.comparison.conclusions import answer, rule, spelt_rows
from backbench.comparison.leaderboard import Leaderboard
from backbench.runtime.console import print_table

TEXTS = ("#", "backbone", "strategy")


def print_leaderboard(leaderboard: Leaderboard, console: Console) -> None:
    """Print the rows by validation, what was enlarged or failed, and last, where people look, the answer."""
    lines = spelt_rows(leaderboard)
    headings = tuple(lines[0])
    print_table(headings, [tuple(line.values()) for line in lines], console, numbers=set(headings) - set(TEXTS))
    for name, found in leaderboard.enlarged.items():
        print(f"{name}: {found}", flush=True)
    for name, reason in leaderboard.failed.items():
        print(f"no row: {name} failed at {reason}", flush=True)
    print(answer(leaderboard), rule(leaderboard), sep="\n", flush=True)
