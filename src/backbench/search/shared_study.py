"""One Optuna study that any number of workers run, as a worker sees it.

Every trial that is to run waits in the storage with its parameters and its position. A worker claims a batch, which the
storage gives to one of them only, and tells what it found. `coordination.py` proposes trials, and proposes again what a
dead worker had claimed. What is told of a trial that was given up meanwhile is dropped: a position is finished once.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from backbench.compat.optuna_trials import stored_id
from backbench.results.compute import NOTHING, Compute, compute_of
from backbench.results.records import TrialRecord, trial_of
from backbench.search.liveness import owner_name
from backbench.search.search import BOUNDARY, Proposal
from backbench.search.study_storage import StudyError, StudyStorage

# What is kept on a trial; BATCH is the position of the first of its batch, SIZE how many are of it.
POSITION, BATCH, SIZE, OWNER, SIGN = "position", "batch", "size of the batch", "owner", "heartbeat"
RECORD, REASON = "record", "reason"
# What its batch took to compute: on the first trial, as OWNER and SIGN are.
COMPUTE = "compute"
# What is kept on the study.
PHASE, COORDINATOR = "phase", "coordinator's heartbeat"
OPEN, STOPPED = "open", "stopped"
# What a storage raises where a study is no more: it has ended, and others were faster.
GONE = (KeyError, FileNotFoundError)
# Why a trial ended without a result.
LOST, GIVEN_BACK, FAILED = "its worker was lost", "its worker was asked to leave", "failed: "
INCOMPLETE = "the rest of its batch had ended"


@dataclass(frozen=True)
class Claim:
    """A batch that a worker runs: its proposals, and the storage's ids of their trials."""

    proposals: tuple[Proposal, ...]
    trial_ids: tuple[int, ...]


class SharedStudy:
    """A study in a storage, as one process sees it. Every method but `give_sign` waits where its database is away."""

    def __init__(self, opened: StudyStorage, name: str, *, creating: bool) -> None:
        """Open the study, or create it.

        Raises:
            StudyError: the storage stays away, or there is no such study and it is not to be created.
        """
        self.storage, self.patiently = opened.storage, opened.patiently
        self.owner = owner_name()
        self._deciding, self._close, self._name, self._shown = opened.deciding, opened.close, name, opened.shown
        self.study_id = self.patiently(lambda: self._open(creating))
        self._sign = 0
        self._draws = random.Random(self.owner)  # the modules' own generators are seeded alike in every worker

    def _open(self, creating: bool) -> int:
        try:
            return self.storage.get_study_id_from_name(self._name)
        except KeyError:
            if not creating:
                raise StudyError(
                    f"expected the study {self._name} in {self._shown}, found none: it has ended, or has not begun; "
                    "start the sweep, which starts its workers"
                ) from None
        try:
            return self.storage.create_new_study([StudyDirection.MINIMIZE], self._name)
        except DuplicatedStudyError:  # stored before it failed
            return self.storage.get_study_id_from_name(self._name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return Optuna's trials of these states, by number."""
        return self.patiently(lambda: self.storage.get_all_trials(self.study_id, deepcopy=False, states=states))

    def records(self) -> list[TrialRecord]:
        """Return every finished trial, pruned ones too, by position."""
        finished = self.trials(TrialState.COMPLETE, TrialState.PRUNED)
        return sorted(map(record_of, finished), key=lambda record: record.index)

    def compute(self) -> Mapping[int, Compute]:
        """Return what every finished batch took, by its first position, with what those took who gave it back."""
        added: dict[int, Compute] = {}
        for trial in self.trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
            # What ended for another reason was begun again from nothing.
            if COMPUTE in trial.user_attrs and trial.user_attrs.get(REASON, GIVEN_BACK) == GIVEN_BACK:
                position = trial.user_attrs[POSITION]
                added[position] = added.get(position, NOTHING) + compute_of(trial.user_attrs[COMPUTE])
        return added

    def claim(self) -> Claim | None:
        """Take a batch that waits, so that nobody else does; None where none waits.

        It is the first one, unless somebody is faster; then any, or hundreds of workers would run after each other
        from one batch to the next.
        """
        with self._deciding():
            try:
                found = self.trials(TrialState.WAITING)
            except GONE:
                return None
            first, *others = whole_batches(found) or [[]]
            self._draws.shuffle(others)
            for batch in (first, *others):
                # Who has its first trial has it all.
                if batch and all(map(self._take, batch)):
                    return Claim(tuple(map(_proposal, batch)), tuple(stored_id(trial) for trial in batch))
        return None

    def _take(self, trial: FrozenTrial) -> bool:
        def take() -> bool:
            try:
                return self.storage.set_trial_state_values(stored_id(trial), TrialState.RUNNING)
            except (UpdateFinishedTrialError, *GONE):
                return False

        return self.patiently(take) and self._note(stored_id(trial), OWNER, self.owner)

    def give_sign(self, claim: Claim) -> None:
        """Say that this claim's worker lives; an error of the storage is the caller's."""
        self._sign += 1
        self.storage.set_trial_user_attr(claim.trial_ids[0], SIGN, self._sign)

    def finish(self, claim: Claim, records: Sequence[TrialRecord], compute: Compute) -> bool:
        """Tell what a batch found and took; false where it had been given up, and is dropped."""
        if not self._note(claim.trial_ids[0], COMPUTE, asdict(compute)):
            return False
        stored = [json.dumps(asdict(record)) for record in records]
        # All of them before the first is told: a batch counts whole or not at all.
        if not all(self._note(trial_id, RECORD, text) for trial_id, text in zip(claim.trial_ids, stored, strict=True)):
            return False
        return all(self.tell(trial_id, record) for trial_id, record in zip(claim.trial_ids, records, strict=True))

    def give_back(self, claim: Claim, compute: Compute) -> None:
        """Let others go on with this batch: its worker was asked to leave, and took so much until then."""
        self._note(claim.trial_ids[0], COMPUTE, asdict(compute))
        for trial_id in claim.trial_ids:
            self.fail(trial_id, GIVEN_BACK)

    def refuse(self, claim: Claim, error: str) -> None:
        """Say why nobody can run this batch."""
        for trial_id in claim.trial_ids:
            self.fail(trial_id, FAILED + error)

    def phase(self) -> str:
        """Say whether workers should stay or leave: the study has ended, or whoever coordinated it gave up."""
        try:
            return str(self._attributes().get(PHASE, OPEN))
        except GONE:
            return STOPPED

    def sign_of_coordinator(self) -> object:
        """Return what changes as long as somebody coordinates."""
        try:
            return self._attributes().get(COORDINATOR)
        except GONE:
            return None

    def _attributes(self) -> dict[str, object]:
        return self.patiently(lambda: self.storage.get_study_user_attrs(self.study_id))

    def _note(self, trial_id: int, name: str, value: object) -> bool:
        """Keep something on a trial; false where the trial has ended."""
        try:
            self.patiently(lambda: self.storage.set_trial_user_attr(trial_id, name, value))
        except (UpdateFinishedTrialError, *GONE):
            return False
        return True

    def tell(self, trial_id: int, record: TrialRecord) -> bool:
        """End a trial with what it found; false where it had ended otherwise."""
        return self._end(trial_id, TrialState[record.state], record.val_loss)

    def fail(self, trial_id: int, reason: str) -> bool:
        """End a trial without a result; false where it had ended already."""
        return self._note(trial_id, REASON, reason) and self._end(trial_id, TrialState.FAIL)

    def _end(self, trial_id: int, state: TrialState, value: float | None = None) -> bool:
        def end() -> bool:
            try:
                return self.storage.set_trial_state_values(trial_id, state, None if value is None else [value])
            except UpdateFinishedTrialError:  # by somebody else, or by this very call before it failed
                return self.storage.get_trial(trial_id).state == state
            except GONE:
                return False

        with self._deciding():
            return self.patiently(end)

    def remove(self, names: Iterable[str]) -> None:
        """Delete studies, this one or others of its storage, and close the storage."""
        for name in names:
            self.patiently(lambda name=name: self._remove(name))  # type: ignore[misc]
        self._close()

    def _remove(self, name: str) -> None:
        try:
            self.storage.delete_study(self.storage.get_study_id_from_name(name))
        except KeyError:  # deleted before it failed, or never made
            return


def whole_batches(trials: Iterable[FrozenTrial]) -> list[list[FrozenTrial]]:
    """Sort trials into batches, by position; what is incomplete, as it may be about to be proposed, is left out."""
    batches: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda trial: int(trial.user_attrs[POSITION])):
        batches.setdefault(trial.user_attrs[BATCH], []).append(trial)
    return [batch for batch in batches.values() if len(batch) == batch[0].user_attrs[SIZE]]


def _proposal(trial: FrozenTrial) -> Proposal:
    parameters = dict(trial.params)
    return Proposal(int(trial.user_attrs[POSITION]), str(parameters.pop(BOUNDARY)), parameters)


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Read what was told of a trial."""
    return trial_of(json.loads(trial.user_attrs[RECORD]))
