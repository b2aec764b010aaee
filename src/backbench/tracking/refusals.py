"""What an MLflow store that fails means (away, lacking, refusing), what to do about it, and calling it again."""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import chain, repeat
from urllib.parse import urlsplit

from requests import exceptions

from backbench.runtime.errors import StoreAwayError, TrackingError, causes
from backbench.runtime.web_address import public_url, without_secrets

STATUS = re.compile(r"failed with error code (\d{3})\b")
# As MLflow, and servers that speak like it, say that they lack what a client of another version asks for. A thing that
# is not there, such as a run, is another matter: RESOURCE_DOES_NOT_EXIST.
LACKING = re.compile(
    r"ENDPOINT_NOT_FOUND|FEATURE_DISABLED|failed with error code 40[45]\b|not[ _]?(implemented|supported|allowed)"
    r"|unimplemented|unsupported",
    re.IGNORECASE,
)
PAGE = re.compile(r"\. Response body: '\s*<.*", re.DOTALL)
LOST = (exceptions.ConnectionError, exceptions.Timeout, exceptions.RetryError, exceptions.ChunkedEncodingError)
# What a database says that no waiting changes; everything else that its driver calls operational may pass.
REFUSALS = (
    "is full",
    "readonly database",
    "unable to open database file",
    "no such table",
    "no such column",
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
)
RETRY_SECONDS = 1.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)  # the last one again and again


def store_errors() -> tuple[type[Exception], ...]:
    """Every kind of error by which MLflow says that its store failed; imports MLflow."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, exceptions.RequestException, NotImplementedError


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that a server answered with, or None where none is known."""
    from mlflow.exceptions import MlflowException, RestException

    for cause in causes(error):
        if isinstance(cause, NotImplementedError):  # of a client that knows what its server lacks
            return HTTPStatus.NOT_IMPLEMENTED
        if isinstance(cause, exceptions.HTTPError) and cause.response is not None:
            return int(cause.response.status_code)
        if isinstance(cause, MlflowException):
            if told := STATUS.search(str(cause)):
                return int(told[1])
            status = int(cause.get_http_status_code())
            # Of the client's own errors it stands for what is not known.
            if status != HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(cause, RestException):
                return status
    return None


def may_pass(error: BaseException) -> bool:
    """Say whether the same call may succeed later: no connection, a server's own fault, a locked database."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    if is_lacking(error):
        return False
    for cause in causes(error):
        if isinstance(cause, exceptions.SSLError):
            return False
        if isinstance(cause, LOST):
            return True
        if isinstance(cause, OperationalError | InterfaceError):
            return not any(refusal in str(cause) for refusal in REFUSALS)
    status = status_of(error)
    return status is not None and (status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS)


def is_lacking(error: BaseException) -> bool:
    """Say whether a server does not offer what was asked of it, to anybody."""
    from mlflow.exceptions import RestException

    if status_of(error) in (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED):
        return True
    answers = (RestException, exceptions.HTTPError)
    said = [str(cause) for cause in causes(error) if isinstance(cause, answers) or STATUS.search(str(cause))]
    return any(map(LACKING.search, said))


def is_withheld(error: BaseException) -> bool:
    """Say whether a server lacks what was asked of it, or keeps it from this user."""
    return status_of(error) == HTTPStatus.FORBIDDEN or is_lacking(error)


def reason(error: BaseException) -> str:
    """Return the first line of what was said, without secrets and without the page that a server made of it."""
    return without_secrets(PAGE.sub("", str(error)) or type(error).__name__).strip().splitlines()[0]


def refusal(error: BaseException, uri_shown: str) -> str:
    """Say in one line what a store was expected to do, what it said, and what to do about it."""
    found, advised = reason(error), _advice(error, uri_shown)
    return f"MLflow: expected {uri_shown} to take a record, found: {found}; {advised}"


def _advice(error: BaseException, uri_shown: str) -> str:
    said, status = str(error), status_of(error)
    if "Invalid Host header" in said:
        host = urlsplit(public_url(uri_shown)).netloc
        return (
            f"the server does not know {host} as a name of its own: whoever starts it adds `--allowed-hosts {host}`, "
            "with every other name that clients call it by"
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, as the server asks"
    if status == HTTPStatus.FORBIDDEN:
        return (
            "ask whoever runs the server for leave to write there, or name another MLflow experiment in conf/tracking"
        )
    if "mlflow-artifacts" in said and str(HTTPStatus.SERVICE_UNAVAILABLE.value) in said:
        return "a server that runs with --no-serve-artifacts never takes them: start it without"
    if is_lacking(error):
        return "MLflow 3 offers it; check that MLFLOW_TRACKING_URI is the address of an MLflow server"
    return "check MLFLOW_TRACKING_URI or conf/tracking"


def twice(action: Callable[[], object], uri_shown: str) -> object:
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
