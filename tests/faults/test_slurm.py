"""A cell's stages on a real SLURM of two nodes: as in one process, whatever is cancelled, preempted or killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from backbench.config.config import CellConfig, cell_config
from backbench.runtime.digests import file_sha256
from backbench.runtime.paths import STATE, WORKERS, Cell, activations
from backbench.stages.boundaries import boundaries
from tests.faults.conftest import Tried, differing
from tests.support.configs import PROJECT, strategy_config
from tests.support.engines.engine_folder import wait_until
from tests.support.engines.slurm import Job, Slurm
from tests.support.kept_work import checkpoints, num_kept
from tests.support.tiny import BACKBONE
from tests.support.tiny_cell import STAGES

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]
# Every task takes seconds, and no stage has a round that ends while the test breaks something.
SLOW = replace(BACKBONE, preprocessor="tests.support.tiny.preprocess_slowly")
PATIENT = strategy_config("fine_tuning", linear_probe_warmup=None, views=8, epochs=300, early_stopping_patience=300)
STRATEGY = replace(PATIENT, name="patient")
CELL = Cell("tiny", "patient")
OUTS = {
    "embed": (activations("tiny"),),
    "sweep": (CELL.trials, CELL.trial_history, CELL.best),
    "train": (CELL.metrics, CELL.history, CELL.models, CELL.predictions),
}
NUM_TRIALS, NUM_SEEDS = 8, 8
OVERRIDES = (
    "benchmark.threads=0",  # the tests' own process has made tensors already
    *("benchmark.strategies=[patient]", f"benchmark.seeds={list(range(NUM_SEEDS))}"),
    *("dataset=folder", "weights=random", "backbone=tiny", "strategy=patient", "search=quasi_random"),
    *(f"search.num_trials={NUM_TRIALS}", f"search.trials_per_round={NUM_TRIALS // 2}"),
    "search.pruner.warmup_epochs=250",
)
# A worker has a node to itself: both of its fake GPUs.
IN_JOBS = ("workers=slurm", "workers.num_workers=2", "workers.start='srun --ntasks=1 --mem=2G --gres=gpu:2 {worker}'")
ALIVE = {"PENDING", "RUNNING", "COMPLETING"}
SECONDS = 240.0


@dataclass(frozen=True)
class Undisturbed:
    """A folder in which a process ran the cell's stages alone, and the digest of every file of each stage's outs."""

    folder: Path
    searchpath: str
    digests: dict[str, dict[str, str]]


def digests(stage: str) -> dict[str, str]:
    files = [file for out in OUTS[stage] for file in (out.rglob("*") if out.is_dir() else [out]) if file.is_file()]
    return {file.as_posix(): file_sha256(file) for file in files}


def config_with(searchpath: str) -> CellConfig:
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base=None):
        return cell_config(compose("config", overrides=[searchpath, *OVERRIDES]))


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed") / "work place"
    shutil.copytree(prepared, folder)
    shipped: dict[str, Any] = {"backbone/tiny": SLOW, "strategy/patient": STRATEGY}
    for name, content in shipped.items():
        file = folder / f"conf/{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(content))), encoding="utf-8")
    searchpath = f"hydra.searchpath=['file://{folder}/conf']"
    config = config_with(searchpath)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        boundaries([config.strategy])
        for stage in STAGES:
            stage(config)
        found = {stage: digests(stage) for stage in OUTS}
        shutil.rmtree(STATE)
    return Undisturbed(folder, searchpath, found)


@pytest.fixture
def before(undisturbed: Undisturbed, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Undisturbed:
    """Work in a copy in which neither the stage of the test nor a later one has run."""
    shutil.copytree(undisturbed.folder, tmp_path / "work place")
    monkeypatch.chdir(tmp_path / "work place")
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT / 'src'}:{PROJECT}")
    for out in chain.from_iterable(list(OUTS.values())[list(OUTS).index(stage) :]):
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    return undisturbed


class Run:
    """A stage that runs in a process of its own, and its workers in jobs."""

    def __init__(self, process: "subprocess.Popen[bytes]", slurm: Slurm, log: Path, known: set[str]) -> None:
        self.process, self._slurm, self._log, self._known = process, slurm, log, known

    def jobs(self) -> list[Job]:
        """Return the jobs that were submitted since it began, but those of the test."""
        return [job for job in self._slurm.jobs().values() if job.id not in self._known]

    def submit(self, script: str, *options: str) -> str:
        """Submit a job that is no worker's."""
        id_ = self._slurm.submit(script, *options)
        self._known.add(id_)
        return id_

    def running(self) -> list[Job]:
        return [job for job in self.jobs() if job.state == "RUNNING"]

    def said(self) -> str:
        logs = [self._log, *WORKERS.rglob("worker-*.log")]
        return "\n".join(f"{log}: {log.read_text(encoding='utf-8', errors='replace')[-3000:]}" for log in logs)

    def once(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, which it does before the stage has ended."""

        def holds() -> bool:
            assert self.process.poll() is None, f"the stage has ended\n{self.said()}"
            return bool(condition())

        wait_until(holds, seconds=SECONDS, otherwise=lambda: f"{self.jobs()}\n{self.said()}")


def command_of(stage: str, searchpath: str) -> list[str]:
    return [sys.executable, str(PROJECT / f"pipelines/{stage}.py"), searchpath, *OVERRIDES, *IN_JOBS]


@contextmanager
def in_jobs(stage: str, searchpath: str, slurm: Slurm) -> Iterator[Run]:
    """Run a stage whose workers are jobs; nothing of it is left afterwards."""
    log = Path(f"{stage}.log")
    known = set(slurm.jobs())
    with log.open("ab") as file:
        process = subprocess.Popen(
            command_of(stage, searchpath),
            env={**os.environ, **slurm.environment},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Run(process, slurm, log, known)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        slurm.cancel_all()
        slurm.wait_until(lambda jobs: not ALIVE & {job.state for job in jobs.values()})


@pytest.mark.parametrize("stage", list(OUTS))
def test_workers_that_are_cancelled_and_preempted_and_a_stage_that_is_killed_lose_nothing(
    stage: str, before: Undisturbed, slurm: Slurm, tried: Tried
) -> None:
    with in_jobs(stage, before.searchpath, slurm) as run:
        run.once(lambda: len(run.running()) == 2 and num_kept() >= 2)
        cancelled, preempted = run.running()
        slurm.cancel(cancelled.id)
        urgent = run.submit("true", "--partition=high", f"--nodelist={preempted.node}", "--exclusive")
        run.once(lambda: slurm.jobs()[cancelled.id].state == "CANCELLED")
        run.once(lambda: slurm.jobs()[preempted.id].state not in ALIVE)
        assert checkpoints() or stage == "embed", "no epoch was kept of what they were at"
        run.once(lambda: slurm.jobs()[urgent].state == "COMPLETED")
        run.once(lambda: len(run.running()) == 2)
        workers = [job.id for job in run.running()]
        assert not {cancelled.id, preempted.id} & set(workers), "others are in their place"
        had = num_kept()
        run.once(lambda: num_kept() > had)
        os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
        # By themselves: one that had not connected yet, when the stage was killed, gives up, and SLURM calls it failed.
        by_themselves = {"COMPLETED", "FAILED"}
        slurm.wait_until(lambda jobs: {jobs[id_].state for id_ in workers} <= by_themselves, seconds=SECONDS)
        assert checkpoints() or stage == "embed", "no epoch was kept of what the stage was at"

    known = num_kept()
    with in_jobs(stage, before.searchpath, slurm) as run:
        run.once(lambda: len(run.running()) == 2)
        assert num_kept() >= known
        assert run.process.wait() == 0, run.said()
        slurm.wait_until(lambda jobs: not ALIVE & {job.state for job in run.jobs()})
        assert len(run.jobs()) == 2
    lost = differing(before.digests[stage], digests(stage))
    assert not checkpoints()
    tried("jobs are cancelled on SLURM", how=f"scancel of a worker of `{stage}`", times=1, lost=lost)
    how = f"a worker of `{stage}` makes room for an urgent job"
    tried("jobs are preempted on SLURM", how=how, times=1, lost=lost)
    how = f"SIGKILL to `{stage}`, whose workers leave by themselves; then a new start"
    tried("a stage is killed whose workers are jobs on SLURM", how=how, times=1, lost=lost)


@pytest.mark.parametrize("stage", ["sweep"])
def test_where_no_worker_can_be_submitted_a_stage_ends_with_a_line(before: Undisturbed, slurm: Slurm) -> None:
    partition = "workers.start='srun --partition=nowhere {worker}'"
    for path, said in (
        (os.environ["PATH"], "(srun: error: Unable to allocate resources: Invalid partition name specified)"),
        (str(Path(sys.executable).parent), "No such file or directory: 'srun'; correct `start`"),
    ):
        environment = {**os.environ, **slurm.environment, "PATH": path}
        command = [*command_of("sweep", before.searchpath), partition]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert line.startswith("error: expected ")
        assert said in line
        assert len(line) < 400
