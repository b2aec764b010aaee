"""Progress for people who watch, plain lines for logs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
