"""What a scheduler has a worker do: run a task in the worker's child process, and ask it to leave.

A worker runs one task at a time, on a thread of its own, so that it answers and leaves while a task computes.
"""

from distributed import Reschedule

from backbench.runtime.engine.child import DIED, LEFT, Answer, Child
from backbench.runtime.interruption import is_asked_to_leave

_children: list[Child] = []  # of this process: one at most


def compute(session: str, opening: bytes, task: bytes) -> Answer:
    """Run a pickled task in this worker's child process; another stage's work begins in a fresh one.

    Raises:
        Reschedule: the task has left because this worker is about to; it goes on at another.
    """
    if is_asked_to_leave():
        raise Reschedule
    if _children and _children[0].session != session:
        end()
    if not _children:
        _children.append(Child(session, opening))
    answer = _children[0].run(task)
    if answer[0] in (DIED, LEFT):
        end()  # what was asked to leave leaves again
    if answer[0] == LEFT and is_asked_to_leave():
        raise Reschedule
    return answer


def ask(session: str | None = None) -> None:
    """Ask the task in the child process to leave at its next good place; with `session`, only one of it."""
    for child in _children:
        if session in (None, child.session):
            child.leave()


def end() -> None:
    """Wait until the task in the child process has left, and end it."""
    while _children:
        _children.pop().end()
