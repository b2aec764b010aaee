"""The engines of the tests are what they claim to be: they run, they go away and come back, and they end."""

import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from mlflow.tracking import MlflowClient

from tests.support.engines.components import lacking, program
from tests.support.engines.engine_folder import end_abandoned, processes_of
from tests.support.engines.mlflow_server import MlflowServer, running_mlflow_server
from tests.support.engines.postgresql import PASSWORD, Postgresql
from tests.support.engines.slurm import Slurm

ABANDONED = """
import time
from tests.support.engines.engine_folder import engine_folder
with engine_folder() as folder:
    folder.start("server", "sleep", "600")
    print(folder.path, flush=True)
    time.sleep(600)
"""


def test_a_missing_program_skips_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKBENCH_ENGINES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no slurmqueen .* apt-get install .* slurm-wlm munge"):
        program("slurmqueen", package="slurm-wlm munge")


def test_where_engines_are_required_a_missing_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKBENCH_ENGINES", "required")
    with pytest.raises(pytest.fail.Exception, match="not root"):
        lacking("not root")


def test_an_engine_of_a_killed_test_run_is_ended_by_the_next() -> None:
    killed = subprocess.Popen([sys.executable, "-c", ABANDONED], stdout=subprocess.PIPE, text=True)
    with killed:
        assert killed.stdout
        folder = Path(killed.stdout.readline().strip())
        end_abandoned()
        assert len(processes_of(folder)) == 1, "what a living test run owns is left alone"
        killed.kill()
    end_abandoned()
    assert not processes_of(folder)
    assert not folder.exists()


@pytest.mark.slurm
def test_slurm_gives_each_job_of_an_array_a_node_and_its_gpus(slurm: Slurm, tmp_path: Path) -> None:
    told = "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"
    job = slurm.submit(f'srun sh -c "echo {told}" > {tmp_path}/$SLURM_ARRAY_TASK_ID', "--array=0-1", "--gres=gpu:2")
    ids = [f"{job}_{index}" for index in range(2)]
    jobs = slurm.wait_until(lambda jobs: all(jobs[id_].state == "COMPLETED" for id_ in ids))
    assert sorted(jobs[id_].node for id_ in ids) == ["n1", "n2"]
    assert [(tmp_path / str(index)).read_text().split() for index in range(2)] == [
        [jobs[id_].node, "0,1"] for id_ in ids
    ]


@pytest.mark.slurm
def test_a_preempted_job_is_warned_and_comes_back(slurm: Slurm, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"""
        trap "echo warned >> {seen}; scontrol requeue $SLURM_JOB_ID" USR1
        echo start ${{SLURM_RESTART_COUNT:-0}} >> {seen}
        [ "$SLURM_RESTART_COUNT" = 1 ] || {{ sleep 600 & wait; }}
    """
    low = slurm.submit(script, "--nodelist=n1", "--exclusive", "--requeue", "--signal=B:USR1@1")
    slurm.wait_until(lambda _: seen.exists())
    slurm.submit("true", "--partition=high", "--nodelist=n1", "--exclusive")
    jobs = slurm.wait_until(lambda jobs: jobs[low].state == "COMPLETED")
    assert jobs[low].restarts == 1
    assert seen.read_text().splitlines() == ["start 0", "warned", "start 1"]


@pytest.mark.postgresql
def test_postgresql_lets_nobody_in_without_the_password(postgresql: Postgresql) -> None:
    address = postgresql.url.replace("+psycopg", "").replace(PASSWORD, "guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address)


@pytest.mark.mlflow_server
def test_an_mlflow_server_comes_back_with_its_runs(mlflow_server: MlflowServer) -> None:
    client = MlflowClient(tracking_uri=mlflow_server.address)
    run = client.create_run(client.create_experiment("away"))
    client.log_metric(run.info.run_id, "loss", 0.5)
    with mlflow_server.away(), pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(mlflow_server.address)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}


@pytest.mark.mlflow_server
@pytest.mark.postgresql
def test_mlflow_on_postgresql_loses_nothing_of_eight_writers_and_shows_no_password(postgresql: Postgresql) -> None:
    """The server makes its tables first, at some cost: no other test should start one on an empty PostgreSQL."""
    with running_mlflow_server(postgresql.create_database("mlflow")) as server:
        client = MlflowClient(tracking_uri=server.address)
        experiment = client.create_experiment("writers")

        def write(value: int) -> None:
            run = client.create_run(experiment)
            for step in range(20):
                client.log_metric(run.info.run_id, "loss", value, step=step)

        with ThreadPoolExecutor(8) as writers:
            list(writers.map(write, range(8)))
        runs = client.search_runs([experiment])
        assert sorted(run.data.metrics["loss"] for run in runs) == list(range(8))
        assert {len(client.get_metric_history(run.info.run_id, "loss")) for run in runs} == {20}
        command_lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        assert PASSWORD not in "\n".join([*command_lines, server.log.read_text(), postgresql.log.read_text()])
