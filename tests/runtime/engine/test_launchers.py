"""What starts workers: how many, what of those that end, and what is told where none can be had."""

import gc
import re
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest

from backbench.runtime.engine.engine import running
from backbench.runtime.engine.workers import Workers
from backbench.runtime.errors import WorkerError
from tests.support.engine_workers import TWO_LOCAL, workers_in
from tests.support.toy_tasks import opened

BEHIND = "setsid {worker} >/dev/null 2>&1 &"


def test_no_more_workers_are_asked_for_than_there_are_tasks_at_once(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running("few", TWO_LOCAL, partial(opened, place)) as run:
        assert not workers_in(place)
        for num_tasks, num_workers in ((1, 1), (3, 2)):
            records = dict(run({f"task {number}": ("square", number) for number in range(num_tasks)}))
            assert len(records) == num_tasks
            assert sorted(workers_in(place)) == list(range(num_workers))
    said = [f"few: asks for {number} workers; their logs are in work/workers/few" for number in (1, 2)]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.system
def test_a_shell_line_submits_workers_and_again_where_one_is_gone(place: Path) -> None:
    queue = Workers(name="queue", launcher="queue", submit=BEHIND, host="127.0.0.1")
    with running("queued", queue, partial(opened, place)) as run:
        assert dict(run({"kills": ("die", "kills", 1, signal.SIGKILL, "worker")})) == {"kills": 1}
        workers = workers_in(place)
        assert sorted(workers) == [0]
    assert not psutil.wait_procs(workers.values(), 60)[1], "without a scheduler they end by themselves"


@pytest.mark.parametrize(
    ("launcher", "submit", "found"),
    [
        ("local", "echo one; echo expected a module, found none; exit 3", r"code 3 \(expected a module, found none\)"),
        ("local", "exit 0", r"code 0 \(without a word\)"),
        ("queue", "no-such-system {worker}", r"code 127 \(.*no-such-system: .*not found\)"),
        ("queue", "kill -9 $$", r"code -9 \(without a word\)"),
    ],
    ids=["told", "silent", "no_batch_system", "killed"],
)
def test_workers_that_end_again_and_again_before_they_connect_are_told_of_with_their_last_word(
    place: Path, launcher: str, submit: str, found: str
) -> None:
    workers = Workers(name="mine", launcher=launcher, submit=submit, num_workers=2)  # type: ignore[arg-type]
    log = re.escape(str(place / "work/workers/fruitless/worker-"))
    expected = f"found that 3 ended before they did, the last with {found}; look into {log}[01].log$"
    with pytest.raises(WorkerError, match=expected), running("fruitless", workers, partial(opened, place)) as run:
        list(run({f"task {number}": ("square", number) for number in range(2)}))


@pytest.mark.filterwarnings("ignore:unclosed <socket")
@pytest.mark.parametrize("host", ["203.0.113.7", "nowhere.invalid"])
def test_a_host_that_this_machine_is_not_is_told_in_one_line(place: Path, host: str) -> None:
    workers = Workers(name="mine", launcher="local", host=host)
    expected = f"^expected a scheduler to listen on {host}, found: .*; correct `host` in conf/workers/mine.yaml"
    with pytest.raises(WorkerError, match=expected), running("nowhere", workers, partial(opened, place)) as run:
        list(run({"task": ("square", 1)}))
    gc.collect()  # the socket that Dask leaves open where it cannot listen is found here, and not in another test
