"""What libraries say while a stage runs: kept in a log file, and shown where the stage fails.

TensorFlow's first lines come before its log can be set up, so that only the file descriptor can be turned away.
"""

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

STDERR = 2
NUM_SHOWN_LINES = 20


@contextmanager
def kept_in(log: Path) -> Iterator[None]:
    """Send whatever is written to standard error to `log`, which is emptied first; standard output is left alone.

    A traceback that ends the process comes after the last lines of the log. A signal that the process
    dies of, such as SIGSEGV, leaves no time for that: Python's stack goes to standard error, and the log is whole.
    """
    if sys.stderr is None:  # so it is where the process was started with it closed
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    terminal = os.dup(STDERR)
    with log.open("wb") as file:
        os.dup2(file.fileno(), STDERR)
    is_first = not faulthandler.is_enabled()
    if is_first:
        faulthandler.enable(terminal, all_threads=False)
    try:
        yield
    except Exception:
        _show_before_traceback(log)
        raise
    finally:
        if is_first:
            faulthandler.disable()
        sys.stderr.flush()
        os.dup2(terminal, STDERR)
        os.close(terminal)


def _show_before_traceback(log: Path) -> None:
    """Where the error is a user's mistake, it ends in `SystemExit`, which Python shows no traceback of."""
    before = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-NUM_SHOWN_LINES:]
        if lines:
            print(f"what libraries said, the last lines of {log}:", *lines, sep="\n  ", file=sys.stderr)
        before(kind, error, trace)

    sys.excepthook = show
