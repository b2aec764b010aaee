"""A real SLURM on this host, of two nodes with fake GPUs, to which tests submit jobs."""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.engines.components import program, root
from tests.support.engines.engine_folder import EngineFolder, engine_folder, free_port, wait_until
from tests.support.engines.slurm_configuration import GPUS_PER_NODE, NODES, Place, gres_conf, slurm_conf

PACKAGES = "slurm-wlm munge"
STARTS_IN_SECONDS = 60.0
NULL_DEVICE = os.makedev(1, 3)


@dataclass(frozen=True)
class Job:
    """A job, or one of an array (`5_1`), as squeue knows it: PENDING, RUNNING, COMPLETED, CANCELLED, FAILED, …"""

    id: str
    state: str
    node: str
    restarts: int


class Slurm:
    """Partitions `main` (the default) and `high`, whose jobs send those of `main` back to the queue."""

    def __init__(self, folder: EngineFolder) -> None:
        self._folder = folder
        # What a process needs to speak to this SLURM, over its own environment.
        self.environment = {**folder.environment, "SLURM_CONF": str(folder.path / "slurm.conf")}

    def submit(self, script: str, *options: str) -> str:
        """Submit a shell script with sbatch's options, and return the job's id."""
        return self._ask("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}").strip()

    def jobs(self) -> dict[str, Job]:
        """Return every job since the start, ended ones included, by its id."""
        format_ = "--Format=JobArrayID:|,State:|,NodeList:|,RestartCnt:|"
        lines = self._ask("squeue", "--noheader", "--all", "--array", "--states=all", format_).splitlines()
        rows = [[word.strip() for word in line.split("|")] for line in lines]
        return {id_: Job(id_, state, node, int(restarts)) for id_, state, node, restarts, *_ in rows}

    def cancel(self, job_id: str) -> None:
        """Cancel a job, or every job of an array."""
        self._ask("scancel", job_id)

    def cancel_all(self) -> None:
        """Cancel every job."""
        self._ask("scancel", "--user=root")

    def wait_until(self, condition: Callable[[dict[str, Job]], bool], *, seconds: float = 60.0) -> dict[str, Job]:
        """Return the jobs once the condition holds for them; after so many seconds the test fails."""
        jobs: dict[str, Job] = {}

        def holds() -> bool:
            nonlocal jobs
            jobs = self.jobs()
            return condition(jobs)

        wait_until(holds, seconds=seconds, otherwise=lambda: f"{jobs}\n{self._folder.said()}")
        return jobs

    def start(self) -> None:
        """Start the daemons, and wait until both nodes are idle."""
        socket_file = self._start_munge()
        self._configure(socket_file)
        self._folder.start(
            "slurmctld", program("slurmctld", package=PACKAGES), "-D", "-c", environment=self.environment
        )
        for name in NODES:
            slurmd = program("slurmd", package=PACKAGES)
            self._folder.start(f"slurmd-{name}", slurmd, "-D", "-N", name, environment=self.environment)
        wait_until(self._idle, seconds=STARTS_IN_SECONDS, otherwise=self._folder.said)

    def _start_munge(self) -> Path:
        """Start munged with a socket of its own, so that another SLURM of this host is not disturbed."""
        folder = self._folder.path / "munge"
        folder.mkdir()
        key = folder / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(stat.S_IRUSR)
        for path in (folder, key):
            shutil.chown(path, "munge", "munge")
        files = {"key-file": key, "socket": folder / "socket", "pid-file": folder / "pid", "seed-file": folder / "seed"}
        words = [f"--{name}={path}" for name, path in files.items()]
        munged = program("munged", package=PACKAGES)
        self._folder.start("munged", munged, "--foreground", *words, user="munge")
        wait_until(files["socket"].exists, seconds=STARTS_IN_SECONDS, otherwise=self._folder.said)
        return files["socket"]

    def _configure(self, munge_socket: Path) -> None:
        folder = self._folder.path
        devices = tuple(folder / f"gpu{index}" for index in range(GPUS_PER_NODE * len(NODES)))
        for device in devices:  # a plain file would leave CUDA_VISIBLE_DEVICES empty
            os.mknod(device, 0o666 | stat.S_IFCHR, NULL_DEVICE)
        host = socket.gethostname().partition(".")[0]
        place = Place(folder, munge_socket, host, free_port(), tuple(free_port() for _ in NODES), devices)
        (folder / "slurm.conf").write_text(slurm_conf(place))
        (folder / "gres.conf").write_text(gres_conf(place))

    def _idle(self) -> bool:
        try:
            states = self._ask("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T")
        except subprocess.CalledProcessError:  # slurmctld does not answer yet
            return False
        return states.split() == ["idle"] * len(NODES)

    def _ask(self, name: str, *words: str) -> str:
        command = [str(program(name, package=PACKAGES)), *words]
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """Yield a SLURM with two idle nodes."""
    root()
    for name in ("slurmctld", "slurmd", "munged"):
        program(name, package=PACKAGES)
    with engine_folder() as folder:
        slurm = Slurm(folder)
        slurm.start()
        yield slurm
