"""A worker's life: claim a batch, run it, tell what it found, until none is left."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from backbench.adaptation.interruption import Interrupted
from backbench.config.search_config import SearchConfig
from backbench.results.compute import Stopwatch
from backbench.results.records import EpochRecord, TrialRecord
from backbench.runtime.errors import BackbenchError
from backbench.search.liveness import Heartbeats
from backbench.search.search import Proposal, Pruning, Space, rounds
from backbench.search.shared_study import STOPPED, Claim, SharedStudy

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
# Told the epochs so far of the trial at a place of its batch; true ends the trial as pruned.
ShouldStop = Callable[[int, Sequence[EpochRecord]], bool]
Objective = Callable[[Sequence[Proposal], ShouldStop], Sequence[TrialRecord]]


class Worker:
    """Runs batches of a shared study by an objective, one after another."""

    def __init__(
        self,
        study: SharedStudy,
        search: SearchConfig,
        space: Space,
        objective: Objective,
        *,
        prunes: bool,
        heartbeat_seconds: float,
    ) -> None:
        """Take part in a study.

        Args:
            study: Proposed by somebody else.
            search: The pruner, and which trials are one round.
            space: Names the parameters and their ranges.
            objective: Maps a batch of proposals to their finished trials, in the same order.
            prunes: Trials of this cell may be pruned.
            heartbeat_seconds: How often to say that this worker lives.
        """
        self._study, self._objective, self._heartbeat_seconds = study, objective, heartbeat_seconds
        self._rounds = rounds(search, prunes=prunes)
        self._pruner, self._space = search.pruner if prunes else None, space
        self._pruning_of = cache(self._pruning)

    def run_next(self) -> bool:
        """Run a batch; false where none waits.

        Raises:
            Interrupted: the objective was asked to leave; the batch waits for another worker.
        """
        claim = self._study.claim()
        if claim is None:
            return False
        position = claim.proposals[0].position
        pruning = self._pruning_of(next(positions for positions in self._rounds if position in positions))
        with _giving_signs(self._study, claim, self._heartbeat_seconds):
            stopwatch = Stopwatch()
            try:
                records = self._objective(claim.proposals, lambda place, history: pruning(history))
                compute = stopwatch.lap()
            except Interrupted:
                self._study.give_back(claim, stopwatch.lap())
                raise
            except BackbenchError as error:
                self._study.refuse(claim, str(error))
                raise
            except Exception as error:
                self._study.refuse(claim, f"trial {position}: {type(error).__name__}: {error}")
                raise
        self._study.finish(claim, records, compute)
        return True

    def _pruning(self, positions: range) -> Pruning:
        """Gather what trials of a round are compared with, once: the rounds before are finished."""
        earlier = [record for record in self._study.records() if record.index < positions.start]
        return Pruning(self._pruner, self._space, earlier)

    def run_all(self, *, lost_after_seconds: float, is_asked_to_leave: Callable[[], bool] = lambda: False) -> int:
        """Run batches until the study has ended, or nobody coordinates it any more; returns how many.

        Raises:
            Interrupted: this worker was asked to leave.
        """
        num_run, pause = 0, SHORTEST_PAUSE_SECONDS
        coordinator = Heartbeats(lost_after_seconds)
        while self._study.phase() != STOPPED:
            if is_asked_to_leave():
                raise Interrupted("between two batches")
            if self.run_next():
                num_run, pause = num_run + 1, SHORTEST_PAUSE_SECONDS
                coordinator.forget()
                continue
            sign = self._study.sign_of_coordinator()
            if self._study.patiently.has_been_away():
                coordinator.forget()  # nobody could give a sign
            if coordinator.silent({0: sign}):
                break
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return num_run


@contextmanager
def _giving_signs(study: SharedStudy, claim: Claim, seconds: float) -> Iterator[None]:
    """Say now and then, on a thread of its own, that the claim's worker lives."""
    ended = threading.Event()

    def give_signs() -> None:
        while not ended.wait(seconds):
            try:
                study.give_sign(claim)
            except (OptunaError, SQLAlchemyError, OSError, KeyError):
                # The storage is away, or claim or study are no more: whoever tells what was found will know.
                continue

    thread = threading.Thread(target=give_signs, name="heartbeats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
