import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from backbench.config import PrunerConfig, RangeConfig, SearchConfig
from backbench.errors import ConfigError, DivergedError
from backbench.records import EpochRecord, TrialRecord
from backbench.search import (
    Proposal,
    ShouldStop,
    Space,
    best_of,
    open_study,
    position_in_range,
    quasi_random_points,
    run_search,
)

RANGES = {"learning_rate": RangeConfig(low=1e-4, high=1e-1), "weight_decay": RangeConfig(low=1e-5, high=1e-2)}
SPACE = Space(RANGES, ("output",))
QUASI_RANDOM = SearchConfig(name="quasi_random", sampler="quasi_random", num_trials=6, startup_trials=6)
TPE = SearchConfig(name="tpe", sampler="tpe", num_trials=9, startup_trials=4)
PRUNER = PrunerConfig(percentile=50.0, startup_trials=2, warmup_epochs=1)
NUM_EPOCHS = 5


class Killed(BaseException):
    """What stands for SIGKILL."""


def run_trial(place: int, proposal: Proposal, should_stop: ShouldStop) -> TrialRecord:
    """Fall towards a loss that is least at a learning rate of 0.01, an epoch at a time."""
    end = abs(math.log10(proposal.parameters["learning_rate"]) + 2) + proposal.parameters["weight_decay"]
    history: list[EpochRecord] = []
    pruned = False
    while len(history) < NUM_EPOCHS and not pruned:
        loss = end + 1 / (1 + len(history))
        history.append(EpochRecord(len(history), proposal.parameters["learning_rate"], loss, loss, 0.5))
        pruned = should_stop(place, history)
    return TrialRecord(
        proposal.position,
        proposal.boundary,
        **proposal.parameters,
        val_loss=history[-1].val_loss,
        val_accuracy=0.5,
        epochs=len(history),
        state="PRUNED" if pruned else "COMPLETE",
        history=tuple(history),
    )


def searched(
    path: Path, search: SearchConfig, kill_at: set[int] = frozenset(), *, batch_size: int = 1, space: Space = SPACE
) -> list[TrialRecord]:
    """Run a search, dying in the middle of the trials in `kill_at` and starting again."""
    pending = set(kill_at)

    def objective(proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        records = []
        for place, proposal in enumerate(proposals):
            if proposal.position in pending:
                pending.discard(proposal.position)
                raise Killed
            records.append(run_trial(place, proposal, should_stop))
        return records

    while True:
        try:
            return run_search(
                open_study(path, "cell"), space, search, objective, batch_size=batch_size, on_trial=lambda record: None
            )
        except Killed:
            continue


SEARCHES = {
    "quasi_random": (QUASI_RANDOM, 1),
    "quasi_random_in_batches": (QUASI_RANDOM, 4),
    "tpe": (TPE, 1),
    "tpe_in_batches": (TPE, 4),
    "pruned": (replace(TPE, pruner=PRUNER), 1),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_killed_study_ends_as_an_uninterrupted_one(tmp_path: Path, name: str) -> None:
    search, batch_size = SEARCHES[name]
    straight = searched(tmp_path / "straight", search, batch_size=batch_size)
    killed = searched(tmp_path / "killed", search, kill_at={0, 3, 5}, batch_size=batch_size)
    assert straight == killed
    assert [trial.index for trial in killed] == list(range(search.num_trials))


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("method", ["ask", "tell", "set_user_attr"])
def test_a_study_killed_between_asking_and_telling_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: str
) -> None:
    search, batch_size = SEARCHES[name]
    straight = searched(tmp_path / "straight", search, batch_size=batch_size)
    original, calls = getattr(optuna.Study, method), iter(range(1000))

    def dying(*args: object, **kwargs: object) -> object:
        if next(calls) in (0, 2, 3, 7):
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(optuna.Study, method, dying)
    assert searched(tmp_path / "killed", search, batch_size=batch_size) == straight


def test_pruning_spends_fewer_epochs_on_as_many_trials_and_chooses_the_same(tmp_path: Path) -> None:
    search = replace(QUASI_RANDOM, num_trials=8)
    whole = searched(tmp_path / "whole", search)
    pruned = searched(tmp_path / "pruned", replace(search, pruner=PRUNER))
    assert len(pruned) == len(whole) == 8
    assert {trial.state for trial in pruned} == {"COMPLETE", "PRUNED"}
    assert sum(trial.epochs for trial in pruned) < sum(trial.epochs for trial in whole)
    assert best_of(pruned) == best_of(whole)
    assert all(trial.epochs == NUM_EPOCHS for trial in pruned[: PRUNER.startup_trials])


def test_a_pruned_trial_is_never_chosen(tmp_path: Path) -> None:
    trials = searched(tmp_path / "study", QUASI_RANDOM)
    pruned = replace(trials[0], state="PRUNED", val_loss=-1.0)
    assert best_of([pruned, *trials[1:]]).index != 0


def test_where_every_trial_was_pruned_there_is_none_to_choose(tmp_path: Path) -> None:
    reason = "diverged: training loss nan in epoch 0"
    trials = [replace(trial, state="PRUNED", reason=reason) for trial in searched(tmp_path / "study", QUASI_RANDOM)]
    with pytest.raises(DivergedError, match=f"found all 6 pruned, the first because it {reason}; lower the range"):
        best_of(trials)


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_the_boundary_is_searched_with_the_rest(tmp_path: Path, search: SearchConfig) -> None:
    space = Space(RANGES, ("stage_3", "stage_4"))
    trials = searched(tmp_path / "study", search, space=space, kill_at={2})
    assert {trial.boundary for trial in trials} == {"stage_3", "stage_4"}
    assert trials == searched(tmp_path / "again", search, space=space)


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_seed_zero_is_honoured(tmp_path: Path, search: SearchConfig) -> None:
    zero = searched(tmp_path / "zero", search)
    again = searched(tmp_path / "again", search)
    one = searched(tmp_path / "one", replace(search, seed=1))
    assert zero == again
    assert zero[0].learning_rate != one[0].learning_rate
    assert zero[-1].learning_rate != one[-1].learning_rate


def test_tpe_learns_from_its_trials(tmp_path: Path) -> None:
    trials = searched(tmp_path / "tpe", TPE)
    assert len({trial.learning_rate for trial in trials}) == TPE.num_trials


def test_points_cover_the_range_on_a_logarithmic_scale() -> None:
    points = quasi_random_points(SPACE, 8, seed=0)
    decades = [int(-1e-9 + (8 / 3) * math.log10(point["learning_rate"] / 1e-4)) for point in points]
    assert sorted(decades) == list(range(8))


def test_the_best_trial_is_the_first_of_equals() -> None:
    points = [Proposal(index, "output", {"learning_rate": 0.02, "weight_decay": 0.0}) for index in range(3)]
    trials = [run_trial(0, point, lambda place, epoch: False) for point in points]
    assert best_of(trials).index == 0


@pytest.mark.parametrize(("value", "edge"), [(1.1e-4, "low"), (3e-3, "none"), (9e-2, "high")])
def test_a_choice_at_the_edge_is_reported(value: float, edge: str) -> None:
    assert position_in_range(value, RANGES["learning_rate"], num_trials=8) == edge


@pytest.mark.parametrize("changes", [{"sampler": "grid"}, {"num_trials": 0}, {"trials_per_batch": 0}])
def test_an_impossible_search_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="conf/search/quasi_random.yaml: expected"):
        searched(tmp_path / "study", replace(QUASI_RANDOM, **changes))
