"""Fetch a file over HTTP: resumed where it was cut off, never mixed of two versions, verified before it is in place.

What has come so far is `<name>.part`; `<name>.part.json` beside it says of which file it is a part.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from backbench.runtime.atomic_files import put_in_place, sync, write_text
from backbench.runtime.console import Transferred
from backbench.runtime.digests import digest_like, file_sha256, spelled
from backbench.runtime.errors import DownloadError
from backbench.runtime.known_files import known_json
from backbench.runtime.locks import holding
from backbench.runtime.ranged_http import OtherVersionError, PassingError, Rest, rest_of_file
from backbench.runtime.web_address import public_url

# An attempt that brings as much is no failure: it may be followed by any number of others.
PROGRESS_BYTES = 1 << 20
MAX_REDIRECTS = 10


class PartFile:
    """`<name>.part` and the note beside it, kept so that a process may be killed at any point.

    `total` is the size of the whole file, None where the server has not said it. `validator` is the ETag or the date by
    which the server tells one version of the file from another, None where it has none.
    """

    def __init__(self, path: Path, source: str) -> None:
        """Take up what an earlier process left of the same source, or begin anew.

        Args:
            path: Where the whole file will lie.
            source: The address; the part of another one is dropped.
        """
        self.target = path
        self.path = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")
        self._source = source
        note = known_json(self._note)
        self.total: int | None = note.get("total")
        self.validator: str | None = note.get("validator")
        if note.get("source") != source:
            self.drop()

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def is_whole(self) -> bool:
        return self.total is not None and self.num_bytes == self.total

    def begin(self, start: int, total: int | None, validator: str | None) -> None:
        """Keep the first `start` bytes, then note of what: a note must never promise what is not there."""
        with self.path.open("ab") as file:
            file.truncate(start)
        self.total, self.validator = total, validator
        write_text(self._note, json.dumps({"source": self._source, "total": total, "validator": validator}))

    def drop(self) -> None:
        """Forget all that has come."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.total, self.validator = None, None

    def put_in_place(self) -> None:
        """Give the part the name of the whole file, at once."""
        put_in_place(self.path, self.target)
        self._note.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How patient and how generous a download is.

    `stalled_seconds` without a byte are a stall. `num_attempts` in a row may bring next to nothing; the wait before the
    second is `wait_seconds`, and doubles up to `longest_wait_seconds`. `max_bytes` is what a file may have, and
    `free_bytes` what must stay free on the disk.
    """

    stalled_seconds: float = 30.0
    num_attempts: int = 5
    wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    max_bytes: int = 20 * 10**9
    free_bytes: int = 10**9


class UnpinnedError(DownloadError):
    """A file came whole and nothing says what it should be: it stays aside, as `.part`."""

    def __init__(self, url: str, sha256: str) -> None:
        """Keep the digest, for the one who is to pin it."""
        super().__init__(f"{public_url(url)}: expected a pinned digest, found none; what came has SHA-256 {sha256}")
        self.sha256 = sha256


def fetch(url: str, path: Path, digest: str | None, *, watch: Transferred, limits: Limits) -> None:
    """Put the file of an address at `path`, whole and verified, or not at all.

    An earlier attempt's part is gone on with where the server still has the same version. Of several processes one
    fetches, the others wait and find the file there.

    Args:
        url: http or https; proxies are taken from the environment.
        path: Must not be there yet.
        digest: `sha256:…` or `md5:…`.
        watch: Is told of every block.
        limits: When to give up, and what to refuse.

    Raises:
        DownloadError: the server refuses, or is gone for too long; the file is too large; it has another digest, and is
            removed.
        UnpinnedError: `digest` is None; the part stays, and is not fetched again once a digest is given.
    """
    try:
        lock_file = path.with_name(f".{path.name}.lock")
        with holding(lock_file, f"{path.name}: another process fetches it; waiting for it to end"):
            if path.is_file():
                return
            part = PartFile(path, public_url(url))
            if not part.is_whole:
                _transfer(url, part, watch, limits)
            _put_in_place(url, part, digest)
    except OSError as error:
        raise DownloadError(
            f"{path}: expected a folder that can be written and a disk with room, found: {error.strerror or error}"
        ) from error


def _transfer(url: str, part: PartFile, watch: Transferred, limits: Limits) -> None:
    """Bring the part to its end, in as many attempts as bring something."""
    furthest, failures, wait = part.num_bytes, 0, limits.wait_seconds
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        while True:
            try:
                _attempt(session, url, part, watch, limits)
                return
            except PassingError as error:
                passing = error
            if isinstance(passing, OtherVersionError):
                part.drop()
            if part.num_bytes >= furthest + PROGRESS_BYTES:
                furthest, failures, wait = part.num_bytes, 0, limits.wait_seconds
            failures += 1
            if failures >= limits.num_attempts:
                raise DownloadError(
                    f"{public_url(url)}: expected a server that sends the file, found {failures} attempts in a row "
                    f"that brought next to nothing, the last one: {passing}; what came is kept: run it again later"
                )
            pause = min(max(wait, passing.retry_after_seconds), limits.longest_wait_seconds)
            watch(part.num_bytes, part.total, f"{passing}; trying again in {pause:.0f} s")
            time.sleep(pause)
            wait *= 2


def _attempt(session: requests.Session, url: str, part: PartFile, watch: Transferred, limits: Limits) -> None:
    """Append what is missing; PassingError where it breaks off."""
    asked = rest_of_file(session, url, part.num_bytes, part.validator, stalled_seconds=limits.stalled_seconds)
    with asked as rest:
        if rest.start and part.total not in (None, rest.total):
            raise OtherVersionError("the server has another version of the file")
        _refuse_what_does_not_fit(url, part, rest, limits)
        part.begin(rest.start, rest.total, rest.validator)
        num_bytes = rest.start
        with part.path.open("ab") as file:
            for block in rest.blocks:
                file.write(block)
                num_bytes += len(block)
                _refuse_large(url, part, num_bytes, limits)
                watch(num_bytes, rest.total)
    if rest.total not in (None, num_bytes):
        raise PassingError(f"the connection broke off after {num_bytes} of {rest.total} bytes")
    sync(part.path)
    part.begin(num_bytes, num_bytes, rest.validator)


def _refuse_what_does_not_fit(url: str, part: PartFile, rest: Rest, limits: Limits) -> None:
    _refuse_large(url, part, rest.total or 0, limits)
    missing = (rest.total or rest.start) - rest.start
    free = shutil.disk_usage(part.path.parent).free + part.num_bytes - rest.start
    if free < missing + limits.free_bytes:
        raise DownloadError(
            f"{public_url(url)}: expected room for {missing} bytes on the disk of {part.path.parent}, and "
            f"{limits.free_bytes} to spare, found {free}; make room, or choose another folder"
        )


def _refuse_large(url: str, part: PartFile, num_bytes: int, limits: Limits) -> None:
    if num_bytes > limits.max_bytes:
        part.drop()
        raise DownloadError(
            f"{public_url(url)}: expected a file of at most {limits.max_bytes} bytes, found {num_bytes} or more; "
            "correct `url`"
        )


def _put_in_place(url: str, part: PartFile, digest: str | None) -> None:
    if digest is None:
        raise UnpinnedError(url, file_sha256(part.path))
    found = digest_like(digest, part.path)
    if found != digest:
        part.drop()
        raise DownloadError(
            f"{public_url(url)}: expected {spelled(digest)}, found {spelled(found)}; what came was removed; "
            "fetch it again, or pin the new digest if you trust it"
        )
    part.put_in_place()
