"""What the one process does that coordinates a shared study: propose rounds, and again what was lost."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

import optuna
from optuna.trial import FrozenTrial, TrialState

from backbench.compat.optuna_trials import stored_id
from backbench.config.search_config import SearchConfig
from backbench.results.records import TrialRecord
from backbench.search.liveness import Heartbeats, is_gone
from backbench.search.search import BOUNDARY, Proposal, Space, batches, proposals, rounds
from backbench.search.shared_study import (
    BATCH,
    COORDINATOR,
    FAILED,
    INCOMPLETE,
    LOST,
    OPEN,
    OWNER,
    PHASE,
    POSITION,
    REASON,
    RECORD,
    SIGN,
    SIZE,
    STOPPED,
    SharedStudy,
    record_of,
    whole_batches,
)
from backbench.search.study_storage import StudyError

LIVE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
MOST_TIMES_LOST = 3
Known = Callable[[Sequence[Proposal]], Sequence[TrialRecord]]


class Coordination:
    """A shared study, as the one that coordinates it sees it."""

    def __init__(
        self, study: SharedStudy, space: Space, *, heartbeat_seconds: float, lost_after_seconds: float
    ) -> None:
        """Take over a study, new or as a killed process left it.

        Args:
            study: To be coordinated by nobody else.
            space: Names the parameters and their ranges.
            heartbeat_seconds: How often to say that somebody coordinates.
            lost_after_seconds: After how long a worker of another machine that says nothing is lost.
        """
        self._study, self._space = study, space
        self._heartbeat_seconds, self._said = heartbeat_seconds, -math.inf
        self._num_said = 0
        self._signs = Heartbeats(lost_after_seconds)
        # What went wrong before is over: it counts neither as an error nor as a loss.
        ended_before = study.trials(TrialState.RUNNING, TrialState.FAIL)
        self._earlier = {stored_id(trial) for trial in ended_before}
        self._phase(OPEN)

    def run(
        self,
        search: SearchConfig,
        *,
        prunes: bool,
        batch_size: int,
        on_trial: Callable[[TrialRecord], None],
        wait: Callable[[int], None],
        known: Known = lambda batch: (),
    ) -> list[TrialRecord]:
        """Propose trials until the study has `search.num_trials` finished ones.

        Args:
            search: The sampler, its seed, and the number of trials.
            prunes: Trials of this cell may be pruned.
            batch_size: How many trials a worker takes at once.
            on_trial: Told of every finished trial, those of an earlier process included.
            wait: Called while trials wait or run, and told how many are finished; it may run some.
            known: Told the proposals of a batch, gives their trials where an earlier study finished them, or none.

        Returns:
            Exactly `num_trials` records, by position; pruned ones count.

        Raises:
            StudyError: a trial cannot be run, or takes its worker down again and again.
        """
        told: set[int] = set()
        all_rounds = rounds(search, prunes=prunes)
        while True:
            self._say()
            self._end_what_was_told()
            self._give_up_lost()
            records = self._study.records()
            for record in records:
                if record.index not in told:
                    told.add(record.index)
                    on_trial(record)
            now = next((positions for positions in all_rounds if not told.issuperset(positions)), None)
            if now is None:
                self._phase(STOPPED)
                return records
            if not self._propose(search, now, records, batch_size, known):
                wait(len(told))

    @contextmanager
    def stopping_workers_on_failure(self) -> Iterator[None]:
        """Let workers leave, each after the batch that it is at, when this process gives up."""
        try:
            yield
        except BaseException:
            self._phase(STOPPED)
            raise

    def _phase(self, phase: str) -> None:
        if self._study.phase() != phase:
            self._set(PHASE, phase)

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._said >= self._heartbeat_seconds:
            self._num_said, self._said = self._num_said + 1, now
            self._set(COORDINATOR, f"{self._study.owner}:{self._num_said}")

    def _set(self, name: str, value: str) -> None:
        self._study.patiently(lambda: self._study.storage.set_study_user_attr(self._study.study_id, name, value))

    def _propose(
        self, search: SearchConfig, positions: range, records: Sequence[TrialRecord], batch_size: int, known: Known
    ) -> bool:
        """Let what a round lacks wait for a worker, whatever is there already; true where some of it is known."""
        missing = set(positions) - self._live_positions()
        if not missing:
            return False
        for batch in batches(positions, batch_size):
            if not missing.isdisjoint(batch):
                missing |= self._give_up_rest(batch)
        earlier = [record for record in records if record.index < positions.start]
        proposed = {proposal.position: proposal for proposal in proposals(search, self._space, positions, earlier)}
        any_known = False
        for batch in batches(positions, batch_size):
            lacking = missing.intersection(batch)
            finished = (
                {record.index: record for record in known([proposed[place] for place in batch])} if lacking else {}
            )
            for position in lacking:
                self._enqueue(_new_trial(proposed[position], batch, self._space, finished.get(position)))
            any_known |= bool(finished)
        return any_known

    def _give_up_rest(self, batch: range) -> set[int]:
        """End what still runs of a batch of which some has ended: it is run again whole."""
        rest = [trial for trial in self._study.trials(TrialState.RUNNING) if trial.user_attrs[BATCH] == batch.start]
        return {int(trial.user_attrs[POSITION]) for trial in rest if self._study.fail(stored_id(trial), INCOMPLETE)}

    def _live_positions(self) -> set[int]:
        """Return the positions that wait, run or are finished.

        Raises:
            StudyError: of the others, one cannot be run, or takes its worker down again and again.
        """
        trials = self._study.trials(*TrialState)
        failed = [trial for trial in trials if trial.state == TrialState.FAIL and stored_id(trial) not in self._earlier]
        for trial in failed:
            if str(trial.user_attrs.get(REASON, "")).startswith(FAILED):
                raise StudyError(trial.user_attrs[REASON].removeprefix(FAILED))
        losses = Counter(trial.user_attrs[POSITION] for trial in failed if trial.user_attrs.get(REASON) == LOST)
        for position, times in losses.most_common(1):
            if times >= MOST_TIMES_LOST:
                raise StudyError(
                    f"expected trial {position} to end, found its worker dead {times} times; "
                    "look into the workers' logs for what kills it, which often is memory"
                )
        return {int(trial.user_attrs[POSITION]) for trial in trials if trial.state in LIVE}

    def _enqueue(self, trial: FrozenTrial) -> None:
        position, tries = trial.user_attrs[POSITION], 0

        def enqueue() -> None:
            nonlocal tries
            tries += 1
            # Where it failed it may have been stored.
            if tries > 1 and any(live.user_attrs[POSITION] == position for live in self._study.trials(*LIVE)):
                return
            self._study.storage.create_new_trial(self._study.study_id, template_trial=trial)

        self._study.patiently(enqueue)

    def _end_what_was_told(self) -> None:
        """Finish batches whose worker died between keeping what it found and ending their trials."""
        for batch in whole_batches(self._study.trials(TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)):
            for trial in batch if all(map(_is_told, batch)) else ():
                if trial.state == TrialState.RUNNING:
                    self._study.tell(stored_id(trial), record_of(trial))

    def _give_up_lost(self) -> None:
        """End the trials whose worker is gone or silent."""
        if self._study.patiently.has_been_away():
            self._signs.forget()
        running: dict[int, list[FrozenTrial]] = {}
        for trial in self._study.trials(TrialState.RUNNING):
            running.setdefault(trial.user_attrs[BATCH], []).append(trial)
        silent = self._signs.silent({batch: tuple(map(_sign, trials)) for batch, trials in running.items()})
        for batch, trials in running.items():
            if all(map(_is_told, trials)):
                continue  # it counts: whoever sees it next ends it
            owners = [str(trial.user_attrs[OWNER]) for trial in trials if OWNER in trial.user_attrs]
            if batch in silent or any(map(partial(is_gone, own=self._study.owner), owners)):
                print(f"trial {batch}: its worker is gone; it is run again", flush=True)
                # Whoever ends the first decides: where its worker just told it, all of them count.
                for trial in trials:
                    if not self._study.fail(stored_id(trial), LOST):
                        break


def _is_told(trial: FrozenTrial) -> bool:
    return RECORD in trial.user_attrs


def _sign(trial: FrozenTrial) -> tuple[object, ...]:
    return stored_id(trial), trial.user_attrs.get(OWNER), trial.user_attrs.get(SIGN)


def _new_trial(proposal: Proposal, batch: range, space: Space, finished: TrialRecord | None) -> FrozenTrial:
    """Spell a trial that waits for a worker, or one whose end is known."""
    known = {} if finished is None else {RECORD: json.dumps(asdict(finished))}
    return optuna.trial.create_trial(
        state=TrialState.WAITING if finished is None else TrialState[finished.state],
        value=None if finished is None else finished.val_loss,
        params={**proposal.parameters, BOUNDARY: proposal.boundary},
        distributions=space.distributions,
        user_attrs={POSITION: proposal.position, BATCH: batch.start, SIZE: len(batch), **known},
    )
