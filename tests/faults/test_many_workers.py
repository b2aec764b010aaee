"""Many workers on one study, of which some are killed at random moments, and whose database goes away."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backbench.search.shared_study import OWNER, RECORD, SharedStudy
from optuna.trial import TrialState

from backbench.config.running_config import WorkersConfig
from backbench.results.records import TrialRecord
from tests.faults.conftest import Tried, differing
from tests.support.configs import PROJECT
from tests.support.engines.postgresql import PASSWORD, Postgresql
from tests.support.toy_study import coordinated, coordination_of, many_trials, opened, searched

NUM_WORKERS, NUM_TRIALS, NUM_KILLED = 8, 200, 2
SECONDS_PER_TRIAL = 0.15


@contextmanager
def working(folder: Path, storage: str) -> Iterator[None]:
    """Start eight workers, processes of their own; what they print is in a file each."""
    command = [sys.executable, "-m", "tests.support.toy_study", str(folder), storage, str(SECONDS_PER_TRIAL)]
    logs = [(folder / f"worker-{number}.log").open("w", encoding="utf-8") for number in range(NUM_WORKERS)]
    workers = [subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, text=True) for log in logs]
    try:
        yield
        for worker in workers:
            worker.wait(60)
    finally:
        for worker, log in zip(workers, logs, strict=True):
            worker.kill()
            worker.wait()
            log.close()


def by_position(records: list[TrialRecord]) -> dict[str, TrialRecord]:
    return {f"trial {record.index}": record for record in records}


def is_killed_in_a_trial(study: SharedStudy, moments: random.Random) -> bool:
    """Kill a worker that has begun a trial and told nothing of it: stopped first, to be sure."""
    running = [trial for trial in study.trials(TrialState.RUNNING) if OWNER in trial.user_attrs]
    if not running:
        return False
    victim = moments.choice(running)
    process = int(victim.user_attrs[OWNER].split(":")[1])
    os.kill(process, signal.SIGSTOP)
    now = [trial for trial in study.trials(TrialState.RUNNING) if trial.number == victim.number]
    is_in_it = bool(now) and RECORD not in now[0].user_attrs
    os.kill(process, signal.SIGKILL if is_in_it else signal.SIGCONT)
    return is_in_it


@pytest.mark.postgresql
@pytest.mark.timeout(240)
@pytest.mark.parametrize("storage", ["postgresql", "journal"])
def test_with_two_of_eight_workers_killed_every_trial_is_finished_once(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: Tried, storage: str
) -> None:
    if storage == "postgresql":
        server: Postgresql = request.getfixturevalue("postgresql")
        monkeypatch.setenv("BACKBENCH_STUDIES", server.create_database("killed"))
    monkeypatch.chdir(tmp_path)
    search = many_trials(NUM_TRIALS)
    study = opened(tmp_path, WorkersConfig(name="test", storage=storage), creating=True)
    moments = random.Random(0)
    kill_at = sorted(moments.sample(range(10, NUM_TRIALS // 2), NUM_KILLED))
    with working(tmp_path, storage):

        def wait(num_finished: int) -> None:
            if kill_at and num_finished >= kill_at[0] and is_killed_in_a_trial(study, moments):
                kill_at.pop(0)
            time.sleep(0.1)

        records = coordinated(coordination_of(study), search, wait)
    trials = study.trials(*TrialState)
    study.remove([])
    assert not kill_at, "the study had ended before they were killed"
    finished = Counter(trial.user_attrs["position"] for trial in trials if trial.state.is_finished() and trial.values)
    lost = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert finished == dict.fromkeys(range(NUM_TRIALS), 1)
    assert len(lost) == NUM_KILLED, "of each killed worker the trial that it was at"
    undisturbed = by_position(searched(tmp_path / "alone", search))
    tried(
        "a worker is killed in the middle of a trial",
        how=f"SIGKILL to {NUM_KILLED} of {NUM_WORKERS} workers of {NUM_TRIALS} trials at random moments, {storage}",
        times=NUM_KILLED,
        lost=differing(undisturbed, by_position(records)),
    )


@pytest.mark.postgresql
@pytest.mark.timeout(240)
def test_workers_wait_while_the_database_is_away_and_go_on(
    postgresql: Postgresql,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tried: Tried,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BACKBENCH_STUDIES", postgresql.create_database("away"))
    monkeypatch.chdir(tmp_path)
    search = many_trials(60)
    study = opened(tmp_path, WorkersConfig(name="test", storage="postgresql"), creating=True)
    outages = [5, 20, 40]
    with working(tmp_path, "postgresql"):

        def wait(num_finished: int) -> None:
            if outages and num_finished >= outages[0]:
                outages.pop(0)
                with postgresql.away():
                    time.sleep(2.0)
            time.sleep(0.1)

        records = coordinated(coordination_of(study), search, wait)
    study.remove([])
    assert not outages
    logs = [file.read_text(encoding="utf-8") for file in tmp_path.glob("worker-*.log")]
    assert any("is away" in log and "is back" in log for log in logs)
    assert PASSWORD not in "".join([*logs, capsys.readouterr().out])
    tried(
        "the study's database goes away",
        how="PostgreSQL killed for 2 s while 8 workers run 60 trials",
        times=3,
        lost=differing(by_position(searched(tmp_path / "alone", search)), by_position(records)),
    )
