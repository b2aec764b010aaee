"""One study by many: in which order, by how many and after which deaths ever, it ends in the same trials."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from backbench.config.running_config import WorkersConfig
from backbench.config.search_config import SearchConfig
from backbench.results.compute import NOTHING
from backbench.results.records import TrialRecord
from backbench.runtime.errors import ConfigError, MemoryLimitError
from backbench.search import liveness as owners
from backbench.search.search import Proposal
from backbench.search.shared_study import SIGN, SharedStudy
from backbench.search.study_storage import StudyError
from backbench.search.worker import ShouldStop
from tests.support.clock import Clock
from tests.support.toy_study import (
    QUASI_RANDOM,
    SEARCHES,
    coordinated,
    coordination_of,
    many_trials,
    opened,
    run_batch,
    run_trial,
    searched,
    worker_of,
)

ONE = WorkersConfig(name="one")
FILES = ["journal", "sqlite"]


class Killed(BaseException):
    """What stands for SIGKILL."""


def until_it_ends(run: Callable[[], list[TrialRecord]]) -> list[TrialRecord]:
    while True:
        try:
            return run()
        except Killed:
            continue


def dying_at(positions: set[int]) -> Callable[[Sequence[Proposal], ShouldStop], list[TrialRecord]]:
    """Run a batch, and die once in the middle of each of these trials."""
    pending = set(positions)

    def objective(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        records = []
        for place, proposal in enumerate(proposals):
            if proposal.position in pending:
                pending.discard(proposal.position)
                raise Killed
            records.append(run_trial(place, proposal, should_stop))
        return records

    return objective


@pytest.mark.parametrize(
    ("storage", "name"),
    [*(("journal", name) for name in SEARCHES), *(("sqlite", name) for name in ("tpe_in_batches", "pruned_in_rounds"))],
)
def test_a_killed_study_ends_as_an_uninterrupted_one(tmp_path: Path, name: str, storage: str) -> None:
    search, batch_size = SEARCHES[name]
    straight = searched(tmp_path / "straight", search, batch_size=batch_size, storage=storage)
    objective = dying_at({0, 3, 5})
    killed = until_it_ends(
        lambda: searched(tmp_path / "killed", search, objective, batch_size=batch_size, storage=storage)
    )
    assert straight == killed
    assert [trial.index for trial in killed] == list(range(search.num_trials))


@pytest.mark.parametrize("name", ["quasi_random_in_batches", "tpe_in_batches", "pruned_in_rounds"])
@pytest.mark.parametrize("method", ["create_new_trial", "set_trial_state_values", "set_trial_user_attr"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_study_killed_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: str, is_done: bool
) -> None:
    search, batch_size = SEARCHES[name]
    straight = searched(tmp_path / "straight", search, batch_size=batch_size)
    storage = type(opened(tmp_path / "killed", ONE, creating=True).storage)
    original, calls = getattr(storage, method), iter(range(1000))

    def dying(*arguments: Any, **options: Any) -> object:
        dies = next(calls) in (0, 2, 3, 7, 12)
        if dies and not is_done:
            raise Killed
        result = original(*arguments, **options)
        if dies:
            raise Killed
        return result

    monkeypatch.setattr(storage, method, dying)
    # Who dies between claiming a trial and putting a name to it is missed by silence alone.
    killed = until_it_ends(lambda: searched(tmp_path / "killed", search, batch_size=batch_size, lost_after_seconds=0.2))
    assert killed == straight
    assert next(calls) > 3, "it did not die so often"


def seen_from_afar(study: SharedStudy) -> SharedStudy:
    """Let it be of another machine, whose processes cannot be seen: a thread is no process."""
    study.owner = study.owner.replace(":", "elsewhere:", 1)
    return study


def by_threads(
    folder: Path, search: SearchConfig, storage: str, *, num_workers: int, batch_size: int
) -> list[TrialRecord]:
    """Run a study by so many workers at once, each of whose batches takes another time."""
    workers = WorkersConfig(name="test", storage=storage)
    coordination = coordination_of(opened(folder, workers, creating=True))
    random_seconds = random.Random(num_workers)

    run: list[int] = []

    def uneven(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        run.extend(proposal.position for proposal in proposals)
        time.sleep(random_seconds.uniform(0, 0.05))
        return run_batch(proposals, should_stop)

    def work() -> None:
        worker_of(seen_from_afar(opened(folder, workers, creating=False)), search, uneven).run_all(lost_after_seconds=9)

    threads = [threading.Thread(target=work) for _ in range(num_workers)]
    with coordination.stopping_workers_on_failure():
        for thread in threads:
            thread.start()
        records = coordinated(coordination, search, lambda num_finished: time.sleep(0.01), batch_size=batch_size)
    for thread in threads:
        thread.join()
    assert sorted(run) == list(range(search.num_trials)), "each trial is run once"
    return records


@pytest.mark.parametrize(
    ("storage", "name"),
    [
        ("journal", "quasi_random"),
        ("journal", "tpe_in_batches"),
        ("journal", "pruned_in_rounds"),
        ("sqlite", "tpe_in_batches"),
    ],
)
def test_the_answer_is_the_same_for_one_two_and_four_workers(tmp_path: Path, name: str, storage: str) -> None:
    search, batch_size = SEARCHES[name]
    alone = searched(tmp_path / "alone", search, batch_size=batch_size)
    for num_workers in (2, 4):
        folder = tmp_path / f"{num_workers}"
        assert by_threads(folder, search, storage, num_workers=num_workers, batch_size=batch_size) == alone


def test_what_a_silent_worker_had_is_run_again_and_what_it_tells_late_is_dropped(tmp_path: Path) -> None:
    study = opened(tmp_path, ONE, creating=True)
    coordination = coordination_of(study, lost_after_seconds=0.2)
    other, own = seen_from_afar(opened(tmp_path, ONE, creating=False)), worker_of(study, QUASI_RANDOM)
    claims = []

    def wait(num_finished: int) -> None:
        if not claims:
            claims.append(other.claim())
        elif not own.run_next():
            time.sleep(0.1)

    records = coordinated(coordination, QUASI_RANDOM, wait)
    assert records == searched(tmp_path / "straight", QUASI_RANDOM)
    (claim,) = claims
    assert claim is not None
    assert not other.finish(claim, run_batch(claim.proposals, lambda place, history: True), NOTHING)
    assert study.records() == records


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that silence is measured by; it stands still unless a test lets time pass."""
    clock = Clock()
    monkeypatch.setattr(owners, "time", SimpleNamespace(monotonic=clock))
    return clock


def test_a_worker_that_says_that_it_lives_is_waited_for(tmp_path: Path, silence: Clock) -> None:
    study = opened(tmp_path, ONE, creating=True)
    coordination = coordination_of(study, lost_after_seconds=10)
    other = seen_from_afar(opened(tmp_path, ONE, creating=False))
    was_long = threading.Event()

    def slow(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        was_long.wait()
        return run_batch(proposals, should_stop)

    search = replace(QUASI_RANDOM, num_trials=1)
    thread = threading.Thread(target=worker_of(other, search, slow).run_next, daemon=True)
    signs: set[object] = set()

    def wait(num_finished: int) -> None:
        if thread.ident is None:
            thread.start()
        heard = {trial.user_attrs[SIGN] for trial in study.trials(TrialState.RUNNING) if SIGN in trial.user_attrs}
        if heard - signs:
            signs.update(heard)
            silence.passes(9)
        if len(signs) == 3:
            was_long.set()
        time.sleep(0.01)

    records = coordinated(coordination, search, wait)
    thread.join()
    assert len(records) == 1
    assert len(study.trials(*TrialState)) == 1, "its trial was given to somebody else"


def test_workers_leave_when_nobody_coordinates_any_more(tmp_path: Path) -> None:
    study = opened(tmp_path, ONE, creating=True)
    search = SEARCHES["pruned_in_rounds"][0]
    with pytest.raises(Killed):
        coordinated(coordination_of(study), search, lambda num_finished: _raise(Killed()))
    worker = worker_of(opened(tmp_path, ONE, creating=False), search)
    assert worker.run_all(lost_after_seconds=0.3) == 3, "those of the round that was proposed"


def test_workers_leave_after_the_trial_that_they_are_at_when_the_sweep_gives_up(tmp_path: Path) -> None:
    coordination = coordination_of(opened(tmp_path, ONE, creating=True))
    with pytest.raises(Killed), coordination.stopping_workers_on_failure():
        coordinated(coordination, QUASI_RANDOM, lambda num_finished: _raise(Killed()))
    assert worker_of(opened(tmp_path, ONE, creating=False), QUASI_RANDOM).run_all(lost_after_seconds=60) == 0
    assert len(searched(tmp_path, QUASI_RANDOM)) == 6, "and the next sweep goes on"


def _raise(error: BaseException) -> None:
    raise error


def test_a_trial_that_cannot_be_run_ends_the_sweep_with_its_reason_and_the_next_tries_again(tmp_path: Path) -> None:
    reason = "expected a step to fit into 1.0 GB, found that it needs 2.0 GB; raise accumulation_steps"

    def too_large(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        raise MemoryLimitError(reason)

    coordination = coordination_of(opened(tmp_path, ONE, creating=True))
    other = worker_of(opened(tmp_path, ONE, creating=False), QUASI_RANDOM, too_large)

    def wait(num_finished: int) -> None:
        with pytest.raises(MemoryLimitError):
            other.run_next()

    with pytest.raises(StudyError, match=reason):
        coordinated(coordination, QUASI_RANDOM, wait)
    assert len(searched(tmp_path, QUASI_RANDOM)) == 6


def test_a_trial_that_takes_its_worker_down_again_and_again_is_named(tmp_path: Path) -> None:
    study = opened(tmp_path, ONE, creating=True)
    coordination = coordination_of(study)

    def wait(num_finished: int) -> None:
        dead = opened(tmp_path, ONE, creating=False)
        assert dead.claim() is not None

    with pytest.raises(StudyError, match="expected trial 0 to end, found its worker dead 3 times"):
        coordinated(coordination, QUASI_RANDOM, wait)


@pytest.mark.parametrize("storage", FILES)
def test_a_worker_without_a_study_says_what_to_start(tmp_path: Path, storage: str) -> None:
    with pytest.raises(StudyError, match=r"expected the study cell in study\.\w+, found none"):
        opened(tmp_path, WorkersConfig(name="one", storage=storage), creating=False)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mysql://user:not-for-logs@host/studies",
        "postgresql://user:p@ss:not-for-logs@host/studies",
        "postgresql://user:not-for-logs@host:port/studies",
    ],
)
def test_a_database_that_the_environment_does_not_name_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("BACKBENCH_STUDIES", address)
    with pytest.raises(ConfigError, match="expected the environment variable BACKBENCH_STUDIES to hold") as raised:
        opened(tmp_path, WorkersConfig(name="slurm", storage="postgresql"), creating=True)
    assert "not-for-logs" not in str(raised.value)


def test_a_line_that_was_cut_off_in_the_journal_is_mended(tmp_path: Path) -> None:
    straight = searched(tmp_path / "straight", QUASI_RANDOM)
    with pytest.raises(Killed):
        searched(tmp_path / "study", QUASI_RANDOM, dying_at({3}))
    living = opened(tmp_path / "study", ONE, creating=False)
    with (tmp_path / "study/study.journal").open("a", encoding="utf-8") as journal:
        journal.write('{"op_code": 5, "worker_id"')
    assert living.claim() is not None, "whoever appends next mends it"
    assert searched(tmp_path / "study", QUASI_RANDOM, lost_after_seconds=0.2) == straight


@pytest.mark.parametrize("storage", FILES)
def test_no_trial_is_claimed_twice(tmp_path: Path, storage: str) -> None:
    kind = WorkersConfig(name="test", storage=storage)
    study = opened(tmp_path, kind, creating=True)
    search = many_trials(40)
    claims: list[int] = []
    num_started = threading.Barrier(4)

    def claim(other: SharedStudy) -> None:
        num_started.wait()
        while (claimed := other.claim()) is not None:
            claims.append(claimed.proposals[0].position)

    with pytest.raises(Killed):
        coordinated(coordination_of(study), search, lambda num_finished: _raise(Killed()))
    threads = [threading.Thread(target=claim, args=(opened(tmp_path, kind, creating=False),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == list(range(40))


@pytest.mark.parametrize("is_between", [False, True], ids=["before it is looked at", "while it is looked at"])
def test_a_batch_whose_worker_died_while_telling_it_counts_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_between: bool
) -> None:
    search, batch_size = SEARCHES["quasi_random_in_batches"]
    study = opened(tmp_path, ONE, creating=True)
    coordination = coordination_of(study, lost_after_seconds=0.1)
    other, own = seen_from_afar(opened(tmp_path, ONE, creating=False)), worker_of(study, search)
    claims = []
    look = coordination._end_what_was_told

    def tell_half() -> None:
        claim = claims.pop()
        monkeypatch.setattr(other, "tell", lambda trial_id, record: SharedStudy.tell(other, trial_id, record) and False)
        assert not other.finish(claim, run_batch(claim.proposals, lambda place, history: False), NOTHING)

    def looked() -> None:
        look()
        if claims and is_between:
            time.sleep(0.2)
            tell_half()

    monkeypatch.setattr(coordination, "_end_what_was_told", looked)
    is_claimed = []

    def wait(num_finished: int) -> None:
        if not is_claimed:
            is_claimed.append(True)
            claims.append(other.claim())
            if not is_between:
                tell_half()
        elif not own.run_next():
            time.sleep(0.05)

    records = coordinated(coordination, search, wait, batch_size=batch_size)
    assert records == searched(tmp_path / "straight", search, batch_size=batch_size)
    assert not study.trials(TrialState.FAIL), "what was told was run again"


@pytest.mark.parametrize("storage", FILES)
def test_a_worker_whose_study_has_ended_leaves_without_a_word(tmp_path: Path, storage: str) -> None:
    kind = WorkersConfig(name="test", storage=storage)
    study = opened(tmp_path, kind, creating=True)
    late = seen_from_afar(opened(tmp_path, kind, creating=False))
    with pytest.raises(Killed):
        coordinated(coordination_of(study), QUASI_RANDOM, lambda num_finished: _raise(Killed()))
    claim = late.claim()
    assert claim is not None
    study.remove(["cell"])
    (tmp_path / "study.journal").unlink(missing_ok=True)
    assert not late.finish(claim, run_batch(claim.proposals, lambda place, history: False), NOTHING)
    assert late.claim() is None
    assert worker_of(late, QUASI_RANDOM).run_all(lost_after_seconds=60) == 0


def test_a_worker_waits_for_what_another_may_lose(tmp_path: Path) -> None:
    search = replace(QUASI_RANDOM, num_trials=1)
    study = opened(tmp_path, ONE, creating=True)
    coordination = coordination_of(study, lost_after_seconds=0.5)
    dies = seen_from_afar(opened(tmp_path, ONE, creating=False))
    stays = worker_of(seen_from_afar(opened(tmp_path, ONE, creating=False)), search)
    threads: list[threading.Thread] = []

    def wait(num_finished: int) -> None:
        if not threads:
            assert dies.claim() is not None
            threads.append(threading.Thread(target=lambda: stays.run_all(lost_after_seconds=60)))
            threads[0].start()
        time.sleep(0.05)

    assert len(coordinated(coordination, search, wait)) == 1
    threads[0].join()


def test_workers_stay_when_the_storage_was_away_for_longer_than_a_coordinator_may_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: Clock
) -> None:
    search = replace(QUASI_RANDOM, num_trials=1)
    coordination = coordination_of(opened(tmp_path, ONE, creating=True))
    study = seen_from_afar(opened(tmp_path, ONE, creating=False))
    read, is_away = study.storage.get_study_user_attrs, threading.Event()
    answers: list[bool] = []

    def read_where_it_answers(study_id: int) -> dict[str, Any]:
        answers.append(not is_away.is_set())
        if is_away.is_set():
            raise StorageInternalError("connection refused")
        return read(study_id)

    def after_several(answer: bool) -> None:
        before = answers.count(answer)
        while answers.count(answer) < before + 3:
            time.sleep(0.01)

    monkeypatch.setattr(study.storage, "get_study_user_attrs", read_where_it_answers)
    thread = threading.Thread(target=lambda: worker_of(study, search).run_all(lost_after_seconds=60), daemon=True)
    thread.start()
    after_several(True)
    is_away.set()
    after_several(False)
    silence.passes(100)
    is_away.clear()
    after_several(True)

    def wait(num_finished: int) -> None:
        assert thread.is_alive(), "it left"
        time.sleep(0.05)

    assert len(coordinated(coordination, search, wait)) == 1
    thread.join()
