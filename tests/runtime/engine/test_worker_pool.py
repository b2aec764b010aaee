"""What starts workers: how many, what of those that end, and what is told where none can be had."""

import gc
import re
import signal
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from backbench.runtime.engine.engine import running
from backbench.runtime.engine.worker_pool import MOST_FRUITLESS_STARTS, command_of
from backbench.runtime.errors import WorkerError
from tests.support.engine_workers import TWO_LOCAL, workers_in
from tests.support.toy_tasks import opened


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
def test_workers_whose_line_goes_on_without_them_are_started_again_when_it_ends(place: Path) -> None:
    """As where a batch system runs them on other machines: only the connection says which there are."""
    behind = replace(TWO_LOCAL, start="sh -c 'setsid {worker} & wait $!'", num_workers=1)
    with running("behind", behind, partial(opened, place)) as run:
        assert dict(run({"kills": ("die", "kills", 1, signal.SIGKILL, "worker")})) == {"kills": 1}
        workers = workers_in(place)
        assert sorted(workers) == [0]
    assert not psutil.wait_procs(workers.values(), 60)[1], "without a scheduler they end by themselves"


@pytest.mark.parametrize(
    ("start", "found"),
    [
        ("echo one; echo expected a module, found none; exit 3", r"code 3 \(expected a module, found none\)"),
        ("exit 0", r"code 0 \(without a word\)"),
        ("kill -9 $$", r"code -9 \(without a word\)"),
        ("echo srun: error: no such partition; exit 1", r"code 1 \(srun: error: no such partition\)"),
        ("echo lost a file; echo srun: error: task 0; exit 1", r"code 1 \(lost a file\)"),
    ],
    ids=["told", "silent", "killed", "srun", "on_srun"],
)
def test_workers_that_end_again_and_again_before_they_connect_are_told_of_with_their_last_word(
    place: Path, start: str, found: str
) -> None:
    log = re.escape("work/workers/fruitless/worker-")
    expected = f"found that [34] ended before they did, the last with {found}; look into {log}[01].log$"
    workers = replace(TWO_LOCAL, start=f"sh -c '{start} # {{worker}}'")
    with pytest.raises(WorkerError, match=expected), running("fruitless", workers, partial(opened, place)) as run:
        list(run({f"task {number}": ("square", number) for number in range(2)}))


def test_a_worker_that_never_connects_is_given_up_and_the_others_go_on(place: Path) -> None:
    line = "sh -c 'for n; do :; done; [ $n = 0 ] || { echo started >> starts; exit 1; }; exec \"$@\"' sh {worker}"
    with running("one broken", replace(TWO_LOCAL, start=line), partial(opened, place)) as run:
        assert len(dict(run({f"task {number}": ("counted", number, 60, 0.05) for number in range(2)}))) == 2
    assert (place / "starts").read_text().count("started") == MOST_FRUITLESS_STARTS


def test_a_program_that_is_not_there_is_told_in_one_line(place: Path) -> None:
    workers = replace(TWO_LOCAL, name="queue", start="no-such-system {worker}")
    expected = "^expected a program that starts a worker, found: .*'no-such-system'; correct `start` in conf/workers"
    with pytest.raises(WorkerError, match=expected), running("nowhere", workers, partial(opened, place)) as run:
        list(run({"task": ("square", 1)}))


def test_a_worker_is_words_of_its_command_or_quoted_for_a_shell() -> None:
    worker = ["/a b/python", "-m", "worker", "it's", "0"]
    assert command_of("srun --mem=1G {worker}", worker) == ["srun", "--mem=1G", *worker]
    assert command_of("{worker}", worker) == worker
    words = command_of("""sh -c 'printf "%s\\n" {worker}'""", worker)
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines() == worker


@pytest.mark.filterwarnings("ignore:unclosed <socket")
@pytest.mark.parametrize("host", ["203.0.113.7", "nowhere.invalid"])
def test_a_host_that_this_machine_is_not_is_told_in_one_line(place: Path, host: str) -> None:
    workers = replace(TWO_LOCAL, name="mine", host=host)
    expected = f"^expected a scheduler to listen on {host}, found: .*; correct `host` in conf/workers/mine.yaml"
    with pytest.raises(WorkerError, match=expected), running("nowhere", workers, partial(opened, place)) as run:
        list(run({"task": ("square", 1)}))
    gc.collect()  # the socket that Dask leaves open where it cannot listen is found here, and not in another test
