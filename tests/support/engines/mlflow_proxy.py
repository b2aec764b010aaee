"""An HTTP server in front of a real MLflow server that refuses what a test names, as other servers do."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

# What Flask answers to an address that it does not know.
PAGE = b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n"
HOP_BY_HOP = ("connection", "content-encoding", "content-length", "date", "server", "transfer-encoding")


def json_refusal(error_code: str, message: str = "no") -> bytes:
    """Spell a refusal as MLflow's own servers do."""
    return json.dumps({"error_code": error_code, "message": message}).encode()


@dataclass(frozen=True)
class Refusal:
    """What is answered to requests whose method and path, such as `POST /api/…`, hold a pattern."""

    status: int
    body: bytes = PAGE


@dataclass
class MlflowProxy:
    """Hands on every request but those that are refused, and keeps what was sent with `log-batch`."""

    address: str
    server: str
    refusals: Mapping[str, Refusal]
    batches: list[dict[str, Any]] = field(default_factory=list)

    def refusal_of(self, request: str) -> Refusal | None:
        return next((answer for pattern, answer in self.refusals.items() if re.search(pattern, request)), None)


class _Handler(BaseHTTPRequestHandler):
    proxy: MlflowProxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        refusal = self.proxy.refusal_of(f"{self.command} {self.path}")
        if self.path.endswith("/log-batch"):
            self.proxy.batches.append(json.loads(body))
        if refusal is not None:
            self._send(refusal.status, {}, refusal.body)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        answer = requests.request(self.command, self.proxy.server + self.path, data=body, headers=headers, timeout=60)
        self._send(answer.status_code, answer.headers, answer.content)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def in_front_of(server: str, refusals: Mapping[str, Refusal]) -> Iterator[MlflowProxy]:
    """Serve on a free port of the loopback device until the end of the block."""
    handler = type("Handler", (_Handler,), {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    proxy = MlflowProxy(f"http://127.0.0.1:{http.server_port}", server, refusals)
    handler.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
