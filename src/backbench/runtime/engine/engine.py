"""Running the tasks of a stage: here, one after another, or by workers, as many at once as there are.

A task is a method of an object that is opened once in every process that computes: `opening` makes it, from plain data
alone, and holds a network's graph, built and traced once. A task's arguments and its record are plain data too. Large
arrays and checkpoints lie on the file system that all processes see.

A task may be run more than once: where its worker was lost, or was only taken for lost. So what it computes is decided
by its arguments, what it writes has the name of all that decides it, and it returns at once what it finds finished.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backbench.runtime.engine.workers import Workers
from backbench.runtime.interruption import Interrupted, StopSignals

Opening = Callable[[], Any]
# By its name, which messages give: a method of what was opened, and its arguments.
Tasks = Mapping[str, tuple[Any, ...]]
Run = Callable[[Tasks], Iterator[tuple[str, Any]]]


@contextmanager
def running(title: str, workers: Workers, opening: Opening) -> Iterator[Run]:
    """Yield what runs tasks: told a mapping of them, it yields each one's name and record, as they end.

    SIGTERM, SIGUSR1 and SIGUSR2 end it in good order: every task in flight leaves at its next good place.

    Args:
        title: Of the stage's work, such as `sweep resnet50-fine_tuning`; names the folder of the workers' logs.
        workers: Who runs them; no more are asked for than there are tasks.
        opening: Makes the object whose methods are the tasks; picklable. Called when the first task comes.

    Raises:
        WorkerError: workers cannot be started, or a task takes one down again and again.
        BackbenchError: as a task raised it.
    """
    with StopSignals() as signals:
        try:
            if workers.is_this_process:
                yield _in_this_process(opening, signals)
            else:
                # Imported here, so that a stage which runs its own tasks does without it.
                from backbench.runtime.engine.cluster import cluster

                with cluster(title, workers, opening, signals) as run:
                    yield run
        except Interrupted:
            if signals.received is None:
                raise
            print(f"{title}: was asked to leave; start this again and it goes on where it was", flush=True)
    if signals.received is not None:
        signal.raise_signal(signals.received)
        sys.exit(128 + signals.received)


def _in_this_process(opening: Opening, signals: StopSignals) -> Run:
    opened: list[Any] = []

    def run(tasks: Tasks) -> Iterator[tuple[str, Any]]:
        for name, (method, *arguments) in tasks.items():
            if signals.came():
                raise Interrupted("between two tasks")
            if not opened:
                opened.append(opening())
            yield name, getattr(opened[0], method)(*arguments)

    return run
