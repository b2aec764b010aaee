"""Progress and tables for people who watch, plain lines for logs; and tables in Markdown."""

import re
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from backbench.runtime.units import size

SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Takes how many more are done, and what to say of it, such as the loss so far."""

    def __call__(self, count: int, detail: str = "", /) -> None: ...


@contextmanager
def progress_bar(title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
    """Yield a function that is told how many more are done: a bar at a terminal, else a line now and then.

    Args:
        title: What is being done, such as `sweep resnet50-fine_tuning`.
        total: How many there are in all.
        unit: What is counted, in the plural.
        done: How many an earlier process did.
    """
    if sys.stdout.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console()) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda count, detail="", /: progress.update(
                task, advance=count, description=f"{title}  {detail}".rstrip()
            )
        return
    first, started = done, time.monotonic()
    last = started

    def advance(count: int, detail: str = "", /) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if done >= total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - started) / max(1, done - first) * (total - done)
            print(f"{title}: {done}/{total} {unit}  {detail}  {left:.0f} s left", flush=True)

    yield advance


def progress_of(line: str) -> tuple[str, int, int] | None:
    """Read a line of `progress_bar`: its title, how many are done, and of how many; None for any other line."""
    found = re.match(r"(.+): (\d+)/(\d+) \w+  ", line)
    return found and (found[1], int(found[2]), int(found[3]))


class Transferred(Protocol):
    """Takes how many bytes are here, of how many where that is known, and what there is to say."""

    def __call__(self, num_bytes: int, total: int | None, detail: str = "", /) -> None: ...


@contextmanager
def transfer_bar(title: str) -> Iterator[Transferred]:
    """Yield a function that is told how far a transfer is: a bar at a terminal, else a line now and then.

    It may go back, where a transfer starts over; a detail is said at once.
    """
    if sys.stdout.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console()) as progress:
            task = progress.add_task(title, total=None)
            yield lambda num_bytes, total, detail="", /: progress.update(
                task, completed=num_bytes, total=total, description=f"{title}  {detail}".rstrip()
            )
        return
    last = time.monotonic()

    def transferred(num_bytes: int, total: int | None, detail: str = "", /) -> None:
        nonlocal last
        now = time.monotonic()
        if detail or num_bytes == total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            of = "" if total is None else f" of {size(total)}"
            print(f"{title}: {size(num_bytes)}{of}  {detail}".rstrip(), flush=True)

    yield transferred


def print_table(
    headings: Sequence[str], lines: Sequence[Sequence[str]], console: Console, *, numbers: Collection[str] = ()
) -> None:
    """Print a table at a terminal, else aligned plain lines; the columns that `numbers` names stand to the right."""
    if console.is_terminal:
        table = Table()
        for heading in headings:
            table.add_column(heading, justify="right" if heading in numbers else "left")
        for line in lines:
            table.add_row(*line)
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    for line in (headings, *lines):
        cells = [
            text.rjust(width) if heading in numbers else text.ljust(width)
            for heading, text, width in zip(headings, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip(), flush=True)


def markdown_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Spell a table in Markdown, a line of text per row."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
