import math
from pathlib import Path

import optuna
import pytest

from backbench.config import RangeConfig, SearchConfig
from backbench.errors import ConfigError
from backbench.records import EpochRecord, TrialRecord
from backbench.search import best_of, open_study, position_in_range, quasi_random_points, run_search

SPACE = {"learning_rate": RangeConfig(low=1e-4, high=1e-1), "weight_decay": RangeConfig(low=1e-5, high=1e-2)}
QUASI_RANDOM = SearchConfig(name="quasi_random", sampler="quasi_random", num_trials=6, startup_trials=6)
TPE = SearchConfig(name="tpe", sampler="tpe", num_trials=9, startup_trials=4)


class Killed(BaseException):
    """What stands for SIGKILL."""


def finished(index: int, parameters: dict[str, float]) -> TrialRecord:
    loss = abs(parameters["learning_rate"] - 0.01) + parameters["weight_decay"]
    history = (EpochRecord(0, parameters["learning_rate"], loss, loss, 0.5),)
    return TrialRecord(
        index, **parameters, val_loss=loss, val_accuracy=0.5, epochs=1, state="COMPLETE", history=history
    )


def searched(path: Path, search: SearchConfig, kill_at: set[int] = frozenset()) -> list[TrialRecord]:
    """Run a search, dying in the middle of the trials in `kill_at` and starting again."""
    pending = set(kill_at)

    def objective(index: int, parameters: dict[str, float]) -> TrialRecord:
        if index in pending:
            pending.discard(index)
            raise Killed
        return finished(index, parameters)

    while True:
        try:
            return run_search(open_study(path, "cell"), SPACE, search, objective, on_trial=lambda record: None)
        except Killed:
            continue


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_a_killed_study_ends_as_an_uninterrupted_one(tmp_path: Path, search: SearchConfig) -> None:
    straight = searched(tmp_path / "straight", search)
    killed = searched(tmp_path / "killed", search, kill_at={0, 3, 5})
    assert straight == killed
    assert [trial.index for trial in killed] == list(range(search.num_trials))


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_seed_zero_is_honoured(tmp_path: Path, search: SearchConfig) -> None:
    zero = searched(tmp_path / "zero", search)
    again = searched(tmp_path / "again", search)
    one = searched(tmp_path / "one", SearchConfig(**{**vars_of(search), "seed": 1}))
    assert zero == again
    assert zero[0].learning_rate != one[0].learning_rate
    assert zero[-1].learning_rate != one[-1].learning_rate


def test_a_study_killed_between_enqueueing_and_asking_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = searched(tmp_path / "straight", QUASI_RANDOM)
    ask, calls = optuna.Study.ask, iter(range(100))

    def dying(study: optuna.Study) -> optuna.Trial:
        if next(calls) in (0, 2, 3):
            raise Killed
        return ask(study)

    monkeypatch.setattr(optuna.Study, "ask", dying)
    assert searched(tmp_path / "killed", QUASI_RANDOM) == straight


def vars_of(search: SearchConfig) -> dict[str, object]:
    return {name: getattr(search, name) for name in ("name", "sampler", "num_trials", "startup_trials")}


def test_tpe_learns_from_its_trials(tmp_path: Path) -> None:
    trials = searched(tmp_path / "tpe", TPE)
    assert len({trial.learning_rate for trial in trials}) == TPE.num_trials


def test_points_cover_the_range_on_a_logarithmic_scale() -> None:
    points = quasi_random_points(SPACE, 8, seed=0)
    decades = [int(-1e-9 + (8 / 3) * math.log10(point["learning_rate"] / 1e-4)) for point in points]
    assert sorted(decades) == list(range(8))


def test_the_best_trial_is_the_first_of_equals() -> None:
    trials = [finished(index, {"learning_rate": 0.02, "weight_decay": 0.0}) for index in range(3)]
    assert best_of(trials).index == 0


@pytest.mark.parametrize(("value", "edge"), [(1.1e-4, "low"), (3e-3, "none"), (9e-2, "high")])
def test_a_choice_at_the_edge_is_reported(value: float, edge: str) -> None:
    assert position_in_range(value, SPACE["learning_rate"], num_trials=8) == edge


@pytest.mark.parametrize("changes", [{"sampler": "grid"}, {"num_trials": 0}])
def test_an_impossible_search_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="conf/search/quasi_random.yaml: expected"):
        searched(tmp_path / "study", SearchConfig(**{**vars_of(QUASI_RANDOM), **changes}))
