"""Say how far a long run is: a live bar at a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class Report:
    """Where a run is: steps done, mean loss since the last report, accuracy where it was measured."""

    done: int
    loss: float
    accuracy: float | None


@contextmanager
def reporting(name: str, first: int, total: int, batch_size: int) -> Iterator[Callable[[Report], None]]:
    """Yield the function that takes reports of a run of `total` steps, resumed at step `first`."""
    started = time.monotonic()
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task(name, total=total, completed=first)
    accuracy = "-"

    def report(state: Report) -> None:
        nonlocal accuracy
        accuracy = accuracy if state.accuracy is None else f"{state.accuracy:.3f}"
        per_step = (time.monotonic() - started) / max(1, state.done - first)
        speed, left = batch_size / per_step, (total - state.done) * per_step
        text = f"loss {state.loss:.3f}  source val accuracy {accuracy}  {speed:.0f} images/s"
        if console.is_terminal:
            bar.update(task, completed=state.done, description=f"{name}  {text}")
        else:
            print(f"{name}  step {state.done} of {total}  {text}  {left:.0f} s left", flush=True)

    with bar:
        yield report
