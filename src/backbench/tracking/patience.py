"""Calling a store again: once after any failure, and for as long as somebody waits while it is away."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TypeVar

from backbench.runtime.errors import StoreAwayError, TrackingError
from backbench.tracking.refusals import is_withheld, may_pass, refusal, store_errors

Returned = TypeVar("Returned")
RETRY_SECONDS = 1.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)  # the last one again and again


def twice(action: Callable[[], Returned], uri_shown: str) -> Returned:
    """Call again after a failure, since MLflow may raise though it stored; the second failure is the user's to see.

    Raises:
        StoreAwayError: the store cannot be reached now.
        TrackingError: the store refuses.
    """
    try:
        return action()
    except store_errors():
        time.sleep(RETRY_SECONDS)
    try:
        return action()
    except store_errors() as error:
        kind = StoreAwayError if may_pass(error) else TrackingError
        raise kind(refusal(error, uri_shown)) from error


def until_back(
    action: Callable[[], object],
    uri_shown: str,
    *,
    wait: Callable[[float], object] = time.sleep,
    patience_seconds: float = math.inf,
) -> None:
    """Call an action as `twice` does until the store is there; print when it goes away, and when it is back.

    StoreAwayError is raised when so many seconds have passed, or where `wait` returns something true.
    """
    deadline, is_away = time.monotonic() + patience_seconds, False
    for seconds in chain(PAUSES_SECONDS, repeat(PAUSES_SECONDS[-1])):
        try:
            twice(action, uri_shown)
        except StoreAwayError as error:
            if not is_away:
                print(f"the MLflow store is away; trying again now and then. {error}", flush=True)
            is_away, left = True, deadline - time.monotonic()
            if left <= 0 or wait(min(seconds, left)):
                raise
        else:
            if is_away:
                print("the MLflow store is back", flush=True)
            return


@contextmanager
def where_offered(what: str, uri_shown: str) -> Iterator[None]:
    """Go on, with a line, where a store withholds what the rest can do without."""
    try:
        yield
    except store_errors() as error:
        if not is_withheld(error):
            raise
        print(f"going on without {what}. {refusal(error, uri_shown)}", flush=True)
