"""Ask a server for a file, or for the rest of it, and tell what another attempt may mend from what it may not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from backbench.runtime.errors import DownloadError
from backbench.runtime.web_address import public_url

BLOCK_BYTES = 1 << 18
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
UNUSABLE = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)


class PassingError(Exception):
    """Another attempt may mend it, best after `retry_after_seconds`, where the server names a time."""

    def __init__(self, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class OtherVersionError(PassingError):
    """The server no longer has the file of which a part is here."""


@dataclass(frozen=True)
class Rest:
    """What a server sends: the bytes from `start` on, of a file of `total` bytes, None where it does not say.

    `validator` tells this version of the file from another, None where the server has none. `blocks` come as the
    network brings them; it raises PassingError where the connection breaks off or stalls.
    """

    start: int
    total: int | None
    validator: str | None
    blocks: Iterator[bytes]


@contextmanager
def rest_of_file(
    session: requests.Session, url: str, num_bytes: int, validator: str | None, *, stalled_seconds: float
) -> Iterator[Rest]:
    """Yield what is missing after `num_bytes` of the version that `validator` names, or the whole file.

    Raises:
        OtherVersionError: the server has another version, and sent a part of that.
        PassingError: no connection, no answer within `stalled_seconds`, or a server in trouble.
        DownloadError: no http or https, or the server refuses.
    """
    headers = {"Accept-Encoding": "identity"}
    # Without a validator nothing would tell two versions apart.
    if num_bytes and validator:
        headers |= {"Range": f"bytes={num_bytes}-", "If-Range": validator}
    with _answer(session, url, headers, stalled_seconds) as response:
        total, found = _total(response), _validator(response)
        if response.status_code == 416 and total == num_bytes:
            yield Rest(num_bytes, total, validator, iter(()))
        elif response.status_code == 200:
            yield Rest(0, total, found, _blocks(response, stalled_seconds))
        elif response.status_code == 206:
            sent = response.headers.get("Content-Range", "")
            if not sent.startswith(f"bytes {num_bytes}-") or found not in (None, validator):
                raise OtherVersionError("the server has another version of the file")
            yield Rest(num_bytes, total, validator, _blocks(response, stalled_seconds))
        else:
            raise _refusal(response)


def _answer(session: requests.Session, url: str, headers: dict[str, str], stalled_seconds: float) -> requests.Response:
    try:
        return session.get(url, headers=headers, stream=True, timeout=stalled_seconds)
    except UNUSABLE as error:
        raise DownloadError(
            f"{public_url(url)}: expected an address of http or https, found another, or was sent to one; correct `url`"
        ) from error
    except requests.exceptions.TooManyRedirects as error:
        raise DownloadError(f"{public_url(url)}: expected a file, found only redirects; correct `url`") from error
    except requests.exceptions.Timeout as error:
        raise PassingError(f"no answer within {stalled_seconds:g} s") from error
    except requests.RequestException as error:
        raise PassingError(f"no connection ({_innermost(error)})") from error


def _innermost(error: BaseException) -> str:
    """Say what happened without the address, which may hold a password, such as Connection refused."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _refusal(response: requests.Response) -> Exception:
    if response.status_code == 416:
        return OtherVersionError("the server has another version of the file")
    found = f"HTTP {response.status_code} {response.reason}".rstrip()
    if response.status_code in PASSING_STATUS:
        seconds = response.headers.get("Retry-After", "")
        return PassingError(found, float(seconds) if seconds.isdigit() else 0.0)
    return DownloadError(
        f"{public_url(response.url)}: expected the file, found {found}; correct `url`, or ask its owner"
    )


def _validator(response: requests.Response) -> str | None:
    """Return the strong ETag, or the date: a weak ETag does not promise equal bytes (RFC 9110, 8.8.1)."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _total(response: requests.Response) -> int | None:
    """Return the size of the whole file, None where the server does not say."""
    size = response.headers.get("Content-Length" if response.status_code == 200 else "Content-Range", "")
    size = size.rpartition("/")[2]
    return int(size) if size.isdigit() else None


def _blocks(response: requests.Response, stalled_seconds: float) -> Iterator[bytes]:
    try:
        while block := response.raw.read1(BLOCK_BYTES):
            yield block
    except ReadTimeoutError as error:
        raise PassingError(f"stalled for {stalled_seconds:g} s") from error
    except HTTPError as error:
        raise PassingError("the connection broke off") from error
