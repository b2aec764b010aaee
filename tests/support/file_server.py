"""A local HTTP server that answers each request as the test says: slow, cut off, stalled, or with another file."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one request is answered.

    `cut_after` and `stall_after` count bytes of this answer's body. `pause_seconds` lie between blocks of
    `block_bytes`.
    """

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = '"first"'
    takes_ranges: bool = True
    heeds_if_range: bool = True
    says_length: bool = True
    cut_after: int | None = None
    stall_after: int | None = None
    block_bytes: int = 1 << 16
    pause_seconds: float = 0.0


@dataclass
class Seen:
    """One request, and how many bytes of a body it was sent."""

    path: str
    headers: dict[str, str]
    num_bytes: int = 0


class FileServer:
    """Answers the n-th request with the n-th answer, and every later one with the last."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/weights.h5"
        self.answers: list[Answer] = []
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._turn = threading.Lock()

    def next_answer(self, seen: Seen) -> Answer:
        with self._turn:
            self.seen.append(seen)
            return self.answers[min(len(self.seen), len(self.answers)) - 1]


class _Handler(BaseHTTPRequestHandler):
    files: FileServer

    def do_GET(self) -> None:
        seen = Seen(self.path, dict(self.headers))
        answer = self.files.next_answer(seen)
        start = self._begin(answer)
        if start is not None:
            self._send(answer, answer.content[start:], seen)

    def _begin(self, answer: Answer) -> int | None:
        wanted = self.headers.get("Range", "") if answer.takes_ranges else ""
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        if answer.heeds_if_range and self.headers.get("If-Range") not in (None, answer.etag):
            wanted, start = "", 0
        size = len(answer.content)
        headers = dict(answer.headers)
        status = answer.status
        if answer.etag:
            headers["ETag"] = answer.etag
        if status == 200 and wanted and start >= size:
            status, headers["Content-Range"] = 416, f"bytes */{size}"
        elif status == 200 and wanted:
            status, headers["Content-Range"] = 206, f"bytes {start}-{size - 1}/{size}"
        if answer.says_length:
            headers["Content-Length"] = str(size - start if status in (200, 206) else 0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        return start if status in (200, 206) else None

    def _send(self, answer: Answer, body: bytes, seen: Seen) -> None:
        end = min(len(body), *[at for at in (answer.cut_after, answer.stall_after) if at is not None], len(body))
        for first in range(0, end, answer.block_bytes):
            block = body[first : min(end, first + answer.block_bytes)]
            try:
                self.wfile.write(block)
            except ConnectionError:
                return
            seen.num_bytes += len(block)
            time.sleep(answer.pause_seconds)
        if answer.stall_after is not None:
            self.files.closing.wait(30)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(*answers: Answer) -> Iterator[FileServer]:
    """Serve on a free port of this machine until the end of the block."""
    handler = type("Handler", (_Handler,), {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    files = FileServer(http.server_port)
    files.answers = list(answers)
    handler.files = files  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        files.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()
