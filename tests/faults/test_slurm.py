"""A cell's sweep on a real SLURM of two nodes: as in one process, whatever is cancelled, killed or sent back."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from backbench.search.shared_study import GIVEN_BACK, POSITION, REASON, SharedStudy
from backbench.search.study_storage import StudyError
from backbench.stages.sweep.cell_study import CellStudy
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from optuna.trial import TrialState

from backbench.config.config import CellConfig, cell_config
from backbench.config.running_config import WorkersConfig
from backbench.results.cell_inputs import CellInputs
from backbench.runtime.digests import file_sha256
from backbench.runtime.paths import STATE, Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from tests.faults.conftest import Tried, differing
from tests.support.configs import PROJECT
from tests.support.engines.slurm import Slurm
from tests.support.tiny import BACKBONE

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(280)]
CELL = Cell("tiny", "fine_tuning")
# As many as keep both workers busy for longer than SLURM takes to make room.
NUM_TRIALS = 16
OVERRIDES = (
    "benchmark.threads=0",  # the tests' own process has made tensors already
    *("dataset=folder", "weights=random", "backbone=tiny", "strategy=fine_tuning", "search=quasi_random"),
    *(f"search.num_trials={NUM_TRIALS}", "strategy.linear_probe_warmup=null", "strategy.views=2"),
    *("strategy.epochs=150", "strategy.early_stopping_patience=150", "search.pruner.warmup_epochs=100"),
)
WORKERS = ("workers=slurm", "workers.num_workers=2", "workers.storage=journal", "workers.launcher=two_nodes")
LAUNCHER = """
defaults: [slurm]
timeout_min: 30
signal_delay_s: 5
cpus_per_task: 1
mem_gb: 2
additional_parameters: {requeue: true}
"""


@pytest.fixture
def configured(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny backbone, and a launcher for this SLURM's small nodes, as a folder for Hydra to look into."""
    folder = workplace / "conf"
    for name, text in {
        "backbone/tiny.yaml": OmegaConf.to_yaml(OmegaConf.create(asdict(BACKBONE))),
        "hydra/launcher/two_nodes.yaml": LAUNCHER,
    }.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT / 'src'}:{PROJECT}")
    return f"hydra.searchpath=['file://{folder}']"


def config_with(searchpath: str) -> CellConfig:
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base=None):
        return cell_config(compose("config", overrides=[searchpath, *OVERRIDES]))


def results() -> dict[str, str]:
    return {path.name: file_sha256(path) for path in CELL.results.iterdir()}


@contextmanager
def sweeping(searchpath: str, slurm: Slurm, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the sweep stage in a process of its own, whose workers are jobs; nothing of it is left afterwards."""
    command = [sys.executable, str(PROJECT / "pipelines/sweep.py"), searchpath, *OVERRIDES, *WORKERS]
    with log.open("ab") as file:
        stage = subprocess.Popen(
            command, env={**os.environ, **slurm.environment}, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield stage
    finally:
        if stage.poll() is None:
            os.killpg(stage.pid, signal.SIGKILL)
            stage.wait()
        slurm.cancel_all()


def once(condition: Callable[[], bool], stage: subprocess.Popen[bytes], log: Path) -> None:
    while not condition():
        assert stage.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.2)


def num_finished(study: SharedStudy) -> int:
    return len(study.trials(TrialState.COMPLETE, TrialState.PRUNED))


def joined(config: CellConfig, stage: subprocess.Popen[bytes], log: Path) -> SharedStudy:
    """Look at the study as soon as the stage has made it."""
    once(lambda: bool(list(STATE.rglob("study.json"))) and bool(list(STATE.rglob("study.journal"))), stage, log)
    while True:
        try:
            return CellStudy(CellInputs.of(config), WorkersConfig(name="onlooker")).open(creating=False)
        except StudyError:
            assert stage.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.2)


def undisturbed(config: CellConfig) -> dict[str, str]:
    """Run the cell in this process, and take its results and what it kept away again."""
    embed([config])
    sweep(config)
    found = results()
    for file in CELL.results.iterdir():
        file.unlink()
    shutil.rmtree(STATE)
    return found


def test_a_sweep_on_slurm_chooses_as_one_process_does_whatever_is_cancelled(
    configured: str, slurm: Slurm, tried: Tried
) -> None:
    config, log = config_with(configured), Path("sweep.log")
    alone = undisturbed(config)
    with sweeping(configured, slurm, log) as stage:
        study = joined(config, stage, log)
        once(lambda: num_finished(study) > 0, stage, log)
        cancelled = [job for job in slurm.jobs().values() if job.state == "RUNNING"]
        slurm.cancel_all()
        slurm.wait_until(lambda jobs: all(jobs[job.id].state == "CANCELLED" for job in cancelled))
        once(lambda: any(job.state == "RUNNING" for job in slurm.jobs().values()), stage, log)
        before = num_finished(study)
        once(lambda: num_finished(study) > before, stage, log)
        os.killpg(stage.pid, signal.SIGKILL)  # the stage and its launcher; the jobs run on
        stage.wait()
    assert len(cancelled) == 2
    assert 2 <= num_finished(study) < NUM_TRIALS, "it was not in the middle"

    with sweeping(configured, slurm, log) as stage:
        assert stage.wait() == 0, log.read_text(encoding="utf-8")
    how = "scancel of both workers of a sweep; then SIGKILL to its stage, scancel again, and a new start"
    tried("jobs are cancelled on SLURM", how=how, times=2, lost=differing(alone, results()))


def test_preempted_workers_keep_their_epochs_and_come_back(configured: str, slurm: Slurm, tried: Tried) -> None:
    config, log = config_with(configured), Path("sweep.log")
    alone = undisturbed(config)
    with sweeping(configured, slurm, log) as stage:
        study = joined(config, stage, log)
        once(lambda: num_finished(study) > 0, stage, log)
        workers = [job.id for job in slurm.jobs().values() if job.state == "RUNNING"]
        slurm.submit("sleep 1", "--partition=high", "--nodes=2", "--exclusive")
        once(lambda: bool(given_back(study)), stage, log)
        kept = list(STATE.rglob("paused/*.npz"))
        jobs = slurm.wait_until(lambda jobs: all(jobs[id_].restarts == 1 for id_ in workers))
        given = given_back(study)
        assert stage.wait() == 0, log.read_text(encoding="utf-8")
    assert [jobs[id_].restarts for id_ in workers] == [1, 1]
    assert 1 <= len(given) <= 2, "each gave the trial back that it was at"
    assert kept, "no epoch was kept"
    how = "both workers of a sweep make room for a job of higher priority"
    tried("jobs are preempted on SLURM", how=how, times=len(workers), lost=differing(alone, results()))


def given_back(study: SharedStudy) -> list[int]:
    failed = study.trials(TrialState.FAIL)
    return [int(trial.user_attrs[POSITION]) for trial in failed if trial.user_attrs.get(REASON) == GIVEN_BACK]
