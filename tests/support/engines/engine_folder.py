"""A temporary folder in which servers work, and of which no process is left, however the test run ends."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path

import psutil

PREFIX = "backbench-engine"
# Every process of an engine has this variable, whose value is its folder, and hands it on to what it starts.
MARK = "BACKBENCH_ENGINE"
# Below those that Linux gives to clients: one that asks again and again for a server that is away could be given the
# server's own port, and would then speak with itself.
PORTS = range(20_000, 32_000)
GRACE_SECONDS = 2.0
ENDS_IN_SECONDS = 20.0


@dataclass(frozen=True)
class EngineFolder:
    """Where servers keep their files and logs."""

    path: Path
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process must have in its environment to be ended with the engine."""
        return {MARK: str(self.path)}

    def start(
        self, name: str, *command: str | Path, user: str | None = None, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a server in the foreground; Ctrl-C reaches the tests alone, which then end it."""
        as_user = {"user": user, "group": user, "extra_groups": ()} if user else {}
        with self.log_file(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.path,
                env={**os.environ, **(environment or {}), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_user,  # type: ignore[call-overload]
            )
        self.started.append(process)
        return process

    def log_file(self, name: str) -> Path:
        """Name the file of what a server said."""
        return self.path / f"{name}.log"

    def said(self) -> str:
        """Return the end of every log, for a failed test's message."""
        logs = sorted(self.path.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs)


@contextmanager
def engine_folder() -> Iterator[EngineFolder]:
    """Yield a folder that every user may enter; at the end its processes and then its files are gone."""
    end_abandoned()
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
    path.chmod(0o755)
    folder = EngineFolder(path)
    try:
        yield folder
    finally:
        end_processes(path)
        for process in folder.started:
            process.wait()
        shutil.rmtree(path)


def end_abandoned() -> None:
    """End the engines of test runs that were killed: a folder's name says whose it is."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        owner = re.match(rf"{PREFIX}-(\d+)-", path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            end_processes(path)
            shutil.rmtree(path, ignore_errors=True)


def end_processes(folder: Path) -> None:
    """End every process that the engine in the folder started, and what those started in the meantime."""
    end = time.monotonic() + ENDS_IN_SECONDS
    signals = chain([signal.SIGTERM], repeat(signal.SIGKILL))
    while processes := processes_of(folder):
        if time.monotonic() > end:
            raise TimeoutError(f"expected no process of {folder}, found {processes}")
        number = next(signals)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(processes, timeout=GRACE_SECONDS)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the processes that an engine in the folder started, and those that they started.

    A process that writes a title over its environment, as SLURM's for a step of a job does, is known by where it works.
    """
    return [
        process
        for process in psutil.process_iter(["environ", "cwd"])
        if _is_of(folder, process.info["environ"], process.info["cwd"]) and process.pid != os.getpid()
    ]


def _is_of(folder: Path, environment: Mapping[str, str] | None, working_folder: str | None) -> bool:
    return working_folder == str(folder) if environment == {} else (environment or {}).get(MARK) == str(folder)


def free_port() -> int:
    """Return a port of the loopback device that nothing listens on."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError(f"expected a free port in {PORTS}, found none")


def wait_until(condition: Callable[[], object], *, seconds: float, otherwise: Callable[[], str]) -> None:
    """Return once the condition holds; after so many seconds the test fails with what `otherwise` says."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} seconds: {otherwise()}")
        time.sleep(0.05)
