"""Run tasks, each a method of what is opened once; here all in this process, one after another."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Run = Callable[[Mapping[str, tuple[Any, ...]]], Iterator[tuple[str, Any]]]


@contextmanager
def running(title: str, workers: Any, opening: Callable[[], Any], *, most_at_once: int) -> Iterator[Run]:
    """Yield what runs tasks: each, by its name, is a method of what `opening` returns and its arguments."""
    opened: list[Any] = []

    def run(tasks: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
        opened.extend([] if opened else [opening()])
        return ((name, getattr(opened[0], method)(*arguments)) for name, (method, *arguments) in tasks.items())

    yield run
