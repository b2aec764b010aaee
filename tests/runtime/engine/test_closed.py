"""Who can connect to a scheduler and its workers: whoever has the certificate, and nobody else."""

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed.comm import connect

from backbench.runtime.engine.connection import CERTIFICATE, KEY, LOOPBACK, SCHEDULER_FILE, make_certificate
from backbench.runtime.engine.engine import Run, running
from backbench.runtime.engine.scheduler import connected
from backbench.runtime.engine.workers import Workers
from tests.support.engine_workers import workers_in
from tests.support.toy_tasks import opened


@pytest.fixture
def folder(run: Run, shared_place: Path) -> Path:
    """Where the address and the certificate of a scheduler are that has two workers."""
    dict(run({f"task {number}": ("square", number) for number in range(4)}))
    (folder,) = (shared_place / "work/workers").iterdir()
    return folder


@pytest.fixture
def addresses(folder: Path) -> list[str]:
    """Those of the scheduler and its workers."""
    with connected(folder) as client:
        addresses = [str(json.loads((folder / SCHEDULER_FILE).read_text())["address"]), *client.nthreads()]
    assert len(addresses) == 3
    return addresses


async def answers(address: str, shown: Mapping[str, Any]) -> bool:
    """Say whether somebody at an address answers to what only one of Dask's processes can ask."""
    try:
        comm = await connect(address, timeout=20, **shown)
        await comm.write({"op": "identity", "reply": True})
        await comm.read()
        await comm.close()
    except OSError:
        return False
    return True


def showing(folder: Path, certificate: Path | None) -> dict[str, Any]:
    """Trust the scheduler of a folder, and show a certificate, or none."""
    context = ssl.create_default_context(cafile=folder / CERTIFICATE)
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate / CERTIFICATE, certificate / KEY)
    return {"ssl_context": context, "require_encryption": True}


def test_with_the_certificate_one_connects(folder: Path, addresses: list[str]) -> None:
    assert [asyncio.run(answers(address, showing(folder, folder))) for address in addresses] == [True] * 3


@pytest.mark.parametrize("shown", ["none", "another"])
def test_without_it_nobody_does(folder: Path, addresses: list[str], tmp_path: Path, shown: str) -> None:
    make_certificate(tmp_path)
    arguments = showing(folder, tmp_path if shown == "another" else None)
    assert [asyncio.run(answers(address, arguments)) for address in addresses] == [False] * 3


def test_nor_does_who_does_not_encrypt(addresses: list[str]) -> None:
    plain = [address.replace("tls://", "tcp://") for address in addresses]
    assert [asyncio.run(answers(address, {})) for address in plain] == [False] * 3


def test_nobody_else_can_read_the_certificate_and_its_key(folder: Path, tmp_path: Path) -> None:
    for name in (CERTIFICATE, KEY):
        (tmp_path / name).write_text("of before")
        (tmp_path / name).chmod(0o644)
    make_certificate(tmp_path)
    for place in (folder, tmp_path):
        assert [(place / name).stat().st_mode & 0o777 for name in (CERTIFICATE, KEY)] == [0o600] * 2


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    found = [connection for process in processes for connection in process.net_connections("tcp")]
    return {connection.laddr for connection in found if connection.status == psutil.CONN_LISTEN}


def test_workers_of_this_machine_are_heard_by_this_machine_alone(folder: Path, shared_place: Path) -> None:
    ports = listening([psutil.Process(), *workers_in(shared_place).values()])
    assert len(ports) >= 2 * 3, "each has one of Dask's and one of HTTP"
    assert {host for host, _ in ports} == {LOOPBACK}


def speaks_http(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=20) as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        try:
            return connection.recv(4) == b"HTTP"
        except ConnectionResetError:
            return False


def test_of_workers_elsewhere_no_port_but_the_encrypted_ones_is_open_to_others(place: Path) -> None:
    queue = Workers(name="queue", start="{worker}")
    with running("open", queue, partial(opened, place)) as run:
        dict(run({"task": ("square", 2)}))
        ports, folder = listening([psutil.Process(), *workers_in(place).values()]), place / "work/workers/open"
        assert {host for host, port in ports if speaks_http(port)} == {LOOPBACK}
        wide = {port for host, port in ports if host != LOOPBACK}
        assert len(wide) == 2, "the scheduler's and the worker's"
        for port in wide:
            assert not asyncio.run(answers(f"tcp://{LOOPBACK}:{port}", {}))
            assert asyncio.run(answers(f"tls://{LOOPBACK}:{port}", showing(folder, folder)))
