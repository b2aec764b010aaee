"""What an MLflow server refuses, and what to do about it: servers differ in what they offer, and to whom."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from backbench.runtime.errors import causes
from backbench.runtime.web_address import public_url, without_secrets

UNAUTHENTICATED, FORBIDDEN, METHOD_NOT_ALLOWED, NOT_IMPLEMENTED, UNAVAILABLE = 401, 403, 405, 501, 503
STATUS = re.compile(r"failed with error code (\d{3})\b")
# As MLflow, and servers that speak like it, say that they lack what a client of another version asks for. A thing that
# is not there, such as a run, is another matter: RESOURCE_DOES_NOT_EXIST.
LACKING = re.compile(
    r"ENDPOINT_NOT_FOUND|FEATURE_DISABLED|failed with error code 40[45]\b|not[ _]?(implemented|supported|allowed)"
    r"|unimplemented|unsupported",
    re.IGNORECASE,
)
PAGE = re.compile(r"\. Response body: '\s*<.*", re.DOTALL)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that a server answered with, or None where none is known."""
    from mlflow.exceptions import MlflowException

    for cause in causes(error):
        if isinstance(cause, NotImplementedError):  # of a client that knows what its server lacks
            return NOT_IMPLEMENTED
        if isinstance(cause, requests.exceptions.HTTPError) and cause.response is not None:
            return int(cause.response.status_code)
        if isinstance(cause, MlflowException):
            told = STATUS.search(str(cause))
            status = int(told[1]) if told else cause.get_http_status_code()
            if told or status != requests.codes.internal_server_error:  # which also stands for what is not known
                return status
    return None


def is_lacking(error: BaseException) -> bool:
    """Say whether a server does not offer what was asked of it, to anybody."""
    if status_of(error) in (METHOD_NOT_ALLOWED, NOT_IMPLEMENTED):
        return True
    return any(LACKING.search(str(cause)) for cause in _said_by_server(error))


def is_withheld(error: BaseException) -> bool:
    """Say whether a server lacks what was asked of it, or keeps it from this user."""
    return status_of(error) == FORBIDDEN or is_lacking(error)


def _said_by_server(error: BaseException) -> Iterator[BaseException]:
    from mlflow.exceptions import RestException

    for cause in causes(error):
        if isinstance(cause, RestException | requests.exceptions.HTTPError) or STATUS.search(str(cause)):
            yield cause


def reason(error: BaseException) -> str:
    """Return the first line of what was said, without secrets and without the page that a server made of it."""
    return without_secrets(PAGE.sub("", str(error)) or type(error).__name__).strip().splitlines()[0]


def advice(error: BaseException, uri_shown: str) -> str:
    """Say what to do about a refusal."""
    said, status = str(error), status_of(error)
    if "Invalid Host header" in said:
        host = urlsplit(public_url(uri_shown)).netloc
        return (
            f"the server does not know {host} as a name of its own: whoever starts it adds `--allowed-hosts {host}`, "
            "with every other name that clients call it by"
        )
    if status == UNAUTHENTICATED:
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, as the server asks"
    if status == FORBIDDEN:
        return (
            "ask whoever runs the server for leave to write there, or name another MLflow experiment in conf/tracking"
        )
    if "mlflow-artifacts" in said and str(UNAVAILABLE) in said:
        return "a server that runs with --no-serve-artifacts never takes them: start it without"
    if is_lacking(error):
        return "MLflow 3 offers it; check that MLFLOW_TRACKING_URI is the address of an MLflow server"
    return "check MLFLOW_TRACKING_URI or conf/tracking"


def unreachable_artifacts(uri: str, location: str) -> str | None:
    """Say what to do where a server hands out a folder of its own that is none on this machine, or return None.

    Args:
        uri: Of the store.
        location: Where the artifacts of an MLflow experiment go, as the store says.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path))
    # MLflow would make the folder, here, where the server never looks.
    place = next((each for each in (folder, folder.parent) if each.is_dir()), None)
    if place is not None and os.access(place, os.W_OK):
        return None
    return (
        f"expected {public_url(uri)} to take files, found that it hands out {location}, a path of its own that is "
        f"closed to this machine; start it with --serve-artifacts and name a new experiment in conf/tracking, or "
        f"make {folder.parent} a folder that the server and this machine share"
    )
