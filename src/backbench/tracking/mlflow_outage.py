"""Whether an MLflow store that fails is away or refuses, and how to wait for one that is away."""

import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

import requests

from backbench.runtime.errors import StoreAwayError, causes
from backbench.search.database_refusals import is_refused
from backbench.tracking.mlflow_refusals import is_lacking

Returned = TypeVar("Returned")
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)  # the last one again and again
TOO_MANY_REQUESTS = 429
MISTAKES = (
    requests.exceptions.SSLError,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)
LOST = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.RetryError,
    requests.exceptions.ChunkedEncodingError,
)


def store_errors() -> tuple[type[Exception], ...]:
    """Every kind of error by which MLflow says that its store failed; imports MLflow."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, requests.exceptions.RequestException, NotImplementedError


def is_away(error: BaseException) -> bool:
    """Say whether the same call may succeed later: no connection, a server's own fault, a locked database."""
    from mlflow.exceptions import RestException
    from sqlalchemy.exc import InterfaceError, OperationalError

    if is_lacking(error):
        return False
    for cause in causes(error):
        if isinstance(cause, MISTAKES):
            return False
        if isinstance(cause, LOST):
            return True
        if isinstance(cause, requests.exceptions.HTTPError):
            return cause.response is not None and _passes(cause.response.status_code)
        if isinstance(cause, OperationalError | InterfaceError):
            return not is_refused(str(cause))
        if isinstance(cause, RestException):
            return _passes(cause.get_http_status_code())
    return False


def _passes(status: int) -> bool:
    return status >= 500 or status == TOO_MANY_REQUESTS


def until_back(action: Callable[[], Returned], pause: Callable[[float], bool]) -> Returned:
    """Call an action again until the store is there; print when it goes away, and when it is back.

    Args:
        action: May be repeated, for it may have been done though it failed.
        pause: Waits so many seconds; False where waiting any longer is no use.

    Raises:
        StoreAwayError: still away when `pause` said so.
        TrackingError: the store refuses.
    """
    away = False
    for seconds in chain(PAUSES_SECONDS, repeat(PAUSES_SECONDS[-1])):
        try:
            done = action()
        except StoreAwayError as error:
            if not away:
                print(f"the MLflow store is away; trying again now and then. {error}", flush=True)
            away = True
            if not pause(seconds):
                raise
        else:
            if away:
                print("the MLflow store is back", flush=True)
            return done
    raise AssertionError("pauses never end")


def patience(total_seconds: float) -> Callable[[float], bool]:
    """Return a pause that sleeps until so many seconds have passed from now, and then gives up."""
    deadline = time.monotonic() + total_seconds

    def pause(seconds: float) -> bool:
        left = deadline - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        return left > 0

    return pause
