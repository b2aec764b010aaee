"""Run the stages of a cell of the default benchmark in jobs of a SLURM, break them, and compare with what is committed.

usage: python -m tests.faults.slurm_benchmark [--cell resnet50_slim-fine_tuning] [--workers 2] [--undisturbed]
       [--report FILE]

Works in a fresh clone, with this checkout's .venv, on a SLURM of two nodes on this machine. Of the two workers of each
stage, in the middle of their work, one is cancelled by scancel, and the other makes room for an urgent job.
`--undisturbed` leaves them alone, and shows how many of those asked for are of use. Exit code 0: git sees no change in
results/.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from omegaconf import OmegaConf

from tests.faults.kill_repro import clone
from tests.faults.table import write_report
from tests.support.engines.engine_folder import wait_until
from tests.support.engines.slurm import Job, Slurm, running_slurm
from tests.support.kept_work import checkpoints, num_kept

BEFORE = ("data.dvc", "size", "prepare", "boundaries", "backbones")
SECONDS = 900.0
SECONDS_INTO_FITS = 5.0
ACTIVATIONS = Path("work/activations")


def choose_workers(project: Path, num_workers: int) -> None:
    """Have the clone's benchmark take jobs that fit the two nodes: two workers have one each, more share them."""
    gpus = "--gres=gpu:2" if num_workers == 2 else ""
    start = f"srun --ntasks=1 --cpus-per-task=1 --mem=2000M --time=30 {gpus} {{worker}}"
    ours = {"name": "two_nodes", "start": start, "num_workers": num_workers}
    (project / "conf/workers/two_nodes.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(ours)))
    benchmark = project / "conf/benchmark.yaml"
    benchmark.write_text(re.sub(r"(?m)^workers: \w+", "workers: two_nodes", benchmark.read_text()))


class Stage:
    """A stage that `dvc repro` runs, and its jobs."""

    def __init__(self, project: Path, slurm: Slurm, name: str) -> None:
        self._project, self._slurm, self.name, self._log = project, slurm, name, project.parent / f"{name}.log"
        self._num_kept = num_kept(project)
        self._known, self._used = set(slurm.jobs()), set[str]()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro", "--single-item", "--force", name],
                cwd=project,
                env={**os.environ, **slurm.environment, "PYTHONPATH": str(project / "src")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def jobs(self, *states: str) -> list[Job]:
        """Return its workers' jobs, in these states."""
        ours = [job for id_, job in self._slurm.jobs().items() if id_ not in self._known]
        return [job for job in ours if not states or job.state in states]

    def is_alive(self, job: Job) -> bool:
        return job.id in {each.id for each in self.jobs("PENDING", "RUNNING", "COMPLETING")}

    def num_finished(self) -> int:
        """Count its tasks that are finished."""
        return num_kept(self._project) - self._num_kept

    def submit(self, script: str, *options: str) -> str:
        """Submit a job that is no worker's."""
        id_ = self._slurm.submit(script, *options)
        self._known.add(id_)
        return id_

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, which it does before the stage has ended."""

        def holds() -> bool:
            assert self._process.poll() is None, f"{self.name} has ended\n{self.said()}"
            return bool(condition())

        wait_until(holds, seconds=SECONDS, otherwise=lambda: f"{self.jobs()}\n{self.said()}")

    def wait(self) -> None:
        """Wait until it has ended well, and its jobs with it; see meanwhile which of them compute."""
        while self._process.poll() is None:
            self._used |= computing(self._slurm).keys()
            time.sleep(0.2)
        assert self._process.returncode == 0, self.said()
        self._used &= {job.id for job in self.jobs()}
        self._slurm.wait_until(lambda _: not self.jobs("PENDING", "RUNNING", "COMPLETING"))

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def workers(self) -> str:
        asked = max(map(int, re.findall(r"asks for (\d+) workers", self.said())))
        return f"| {self.name} | {asked} | {len(self._used)} |"


def computing(slurm: Slurm) -> dict[str, psutil.Process]:
    """Return the processes that compute tasks in jobs of a SLURM, by job."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            said = process.environ()
            if said.get("SLURM_CONF") == slurm.environment["SLURM_CONF"] and "spawn_main" in str(process.cmdline()):
                found[said.get("SLURM_JOB_ID", "")] = process
    return found


class InFits:
    """Whether both workers are in the middle of a fit: they have computed for a while since they had its data."""

    def __init__(self, slurm: Slurm) -> None:
        self._slurm, self._had_data = slurm, dict[int, float]()

    def __call__(self) -> bool:
        spent = {}
        for process in computing(self._slurm).values():
            with suppress(psutil.Error):
                if any(str(ACTIVATIONS) in each.path for each in process.memory_maps()):
                    now = sum(process.cpu_times()[:2])
                    spent[process.pid] = now - self._had_data.setdefault(process.pid, now)
        return len(spent) == 2 and min(spent.values()) >= SECONDS_INTO_FITS


def disturb(stage: Stage, slurm: Slurm, project: Path) -> str:
    """Cancel one of two workers and preempt the other in the middle of their work; say what became of them."""
    in_fits = InFits(slurm)
    stage.until(lambda: len(stage.jobs("RUNNING")) == 2 and (stage.num_finished() > 0 or in_fits()))
    had = stage.num_finished()
    cancelled, preempted = stage.jobs("RUNNING")
    slurm.cancel(cancelled.id)
    urgent = stage.submit("true", "--partition=high", f"--nodelist={preempted.node}", "--exclusive")
    stage.until(lambda: slurm.jobs()[cancelled.id].state == "CANCELLED")
    stage.until(lambda: not stage.is_alive(preempted))
    num_checkpoints = len(checkpoints(project))
    stage.until(lambda: slurm.jobs()[urgent].state == "COMPLETED")
    stage.until(lambda: stage.jobs("RUNNING"))
    return (
        f"{had} tasks finished; scancel of job {cancelled.id} on {cancelled.node}; job {preempted.id} on "
        f"{preempted.node} preempted; others started in their place; fits left in the middle: {num_checkpoints}"
    )


def changed(project: Path) -> list[str]:
    """Return what git sees as changed in results/."""
    command = ["git", "status", "--porcelain", "results"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cell", default="resnet50_slim-fine_tuning")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--undisturbed", action="store_true")
    parser.add_argument("--report", type=Path, help="for the table of docs/reliability.md")
    options = parser.parse_args()
    backbone = options.cell.partition("-")[0]
    table = ["| stage | workers asked for | workers that ran a task |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder, running_slurm() as slurm:
        project = clone(Path(folder))
        choose_workers(project, options.workers)
        for name in BEFORE:
            Stage(project, slurm, name).wait()
        for name in (f"embed@{backbone}", f"sweep@{options.cell}", f"train@{options.cell}"):
            started = time.monotonic()
            stage = Stage(project, slurm, name)
            told = "undisturbed" if options.undisturbed else disturb(stage, slurm, project)
            stage.wait()
            print(f"{name}: {time.monotonic() - started:.0f} s; {told}", flush=True)
            print(
                *(f"  job {job.id}: {job.state}, restarts {job.restarts}" for job in stage.jobs()), sep="\n", flush=True
            )
            table.append(stage.workers())
        lost = changed(project)
    if options.undisturbed:
        print(*table, sep="\n")
    print(*lost or ["git sees no change in results/"], sep="\n")
    if options.report and not options.undisturbed:
        how = "of `embed`, `sweep` and `train` of a cell of the default benchmark, one worker scancel'd, one preempted"
        write_report(
            options.report, "slurm_benchmark", fault="jobs are cancelled on SLURM", how=how, times=6, lost=lost
        )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
