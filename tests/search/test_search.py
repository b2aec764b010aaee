import math
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.config.search_config import PrunerConfig, SearchConfig
from backbench.config.strategy_config import RangeConfig
from backbench.runtime.errors import DivergedError
from backbench.search.search import Proposal, Space, best_of, position_in_range, proposals, quasi_random_points, rounds
from tests.support.toy_study import NUM_EPOCHS, PRUNER, QUASI_RANDOM, RANGES, SPACE, TPE, run_trial, searched


def test_pruning_spends_fewer_epochs_on_as_many_trials_and_chooses_the_same(tmp_path: Path) -> None:
    search = replace(QUASI_RANDOM, num_trials=8)
    whole = searched(tmp_path / "whole", search).trials
    pruned = searched(tmp_path / "pruned", replace(search, pruner=PRUNER)).trials
    assert len(pruned) == len(whole) == 8
    assert {trial.state for trial in pruned} == {"COMPLETE", "PRUNED"}
    assert sum(trial.epochs for trial in pruned) < sum(trial.epochs for trial in whole)
    assert best_of(pruned) == best_of(whole)
    assert all(trial.epochs == NUM_EPOCHS for trial in pruned[: search.trials_per_round])


def test_a_pruned_trial_is_never_chosen(tmp_path: Path) -> None:
    trials = searched(tmp_path / "study", QUASI_RANDOM).trials
    pruned = replace(trials[0], state="PRUNED", val_loss=-1.0)
    assert best_of([pruned, *trials[1:]]).index != 0


def test_where_every_trial_was_pruned_there_is_none_to_choose(tmp_path: Path) -> None:
    reason = "diverged: training loss nan in epoch 0"
    trials = [
        replace(trial, state="PRUNED", reason=reason) for trial in searched(tmp_path / "study", QUASI_RANDOM).trials
    ]
    with pytest.raises(DivergedError, match=f"found all 6 pruned, the first because it {reason}; lower the range"):
        best_of(trials)


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_the_boundary_is_searched_with_the_rest(tmp_path: Path, search: SearchConfig) -> None:
    space = Space(RANGES, ("stage_3", "stage_4"))
    trials = searched(tmp_path / "study", search, space=space).trials
    assert {trial.boundary for trial in trials} == {"stage_3", "stage_4"}
    assert trials == searched(tmp_path / "again", search, space=space).trials


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_seed_zero_is_honoured(tmp_path: Path, search: SearchConfig) -> None:
    zero = searched(tmp_path / "zero", search).trials
    again = searched(tmp_path / "again", search).trials
    one = searched(tmp_path / "one", replace(search, seed=1)).trials
    assert zero == again
    assert zero[0].learning_rate != one[0].learning_rate
    assert zero[-1].learning_rate != one[-1].learning_rate


def test_tpe_learns_from_its_trials(tmp_path: Path) -> None:
    trials = searched(tmp_path / "tpe", TPE).trials
    assert len({trial.learning_rate for trial in trials}) == TPE.num_trials


def test_points_cover_the_range_on_a_logarithmic_scale() -> None:
    points = quasi_random_points(SPACE, 8, seed=0)
    decades = [int(-1e-9 + (8 / 3) * math.log10(point["learning_rate"] / 1e-4)) for point in points]
    assert sorted(decades) == list(range(8))


def test_the_best_trial_is_the_first_of_equals() -> None:
    points = [Proposal(index, "output", {"learning_rate": 0.02, "weight_decay": 0.0}) for index in range(3)]
    trials = [run_trial(point, lambda history: False) for point in points]
    assert best_of(trials).index == 0


@pytest.mark.parametrize(("value", "edge"), [(1.1e-4, "low"), (3e-3, "none"), (9e-2, "high")])
def test_a_choice_at_the_edge_is_reported(value: float, edge: str) -> None:
    assert position_in_range(value, RANGES["learning_rate"], num_trials=8) == edge


@pytest.mark.parametrize(
    ("percentile", "startup_trials", "warmup_epochs", "num_complete"),
    [(0, 0, 0, 3), (100, 0, 0, 4), (0, 500, 0, 6), (0, 0, 500, 6)],
    ids=["best_only", "all_but_the_worst", "never_begins", "never_looks"],
)
def test_a_pruner_at_the_edges_of_its_ranges(
    tmp_path: Path, percentile: float, startup_trials: int, warmup_epochs: int, num_complete: int
) -> None:
    pruner = PrunerConfig(percentile=percentile, startup_trials=startup_trials, warmup_epochs=warmup_epochs)
    trials = searched(tmp_path / "study", replace(QUASI_RANDOM, pruner=pruner)).trials
    complete = [trial for trial in trials if trial.state == "COMPLETE"]
    assert len(trials) == 6
    assert len(complete) == num_complete


@pytest.mark.parametrize("rate", [1e-4, 3e-3])
def test_a_range_of_one_value_has_no_edge(rate: float) -> None:
    assert position_in_range(rate, RangeConfig(low=rate, high=rate), num_trials=8) == "none"


@pytest.mark.parametrize("search", [QUASI_RANDOM, TPE], ids=["quasi_random", "tpe"])
def test_a_range_of_one_value_zero_included_gives_that_value_to_every_trial(
    tmp_path: Path, search: SearchConfig
) -> None:
    ranges = {"learning_rate": RangeConfig(low=1e-3, high=1e-3), "weight_decay": RangeConfig(low=0, high=0)}
    trials = searched(tmp_path / "study", search, space=Space(ranges, ("output",))).trials
    assert {(trial.learning_rate, trial.weight_decay) for trial in trials} == {(1e-3, 0.0)}
    assert len(trials) == search.num_trials


@pytest.mark.parametrize("low", [1e-3, 0.1, 7.3e-5, 1e-37])
def test_no_point_lies_outside_of_a_narrow_range(low: float) -> None:
    bounds = RangeConfig(low=low, high=math.nextafter(low, 1))
    drawn = quasi_random_points(Space({"learning_rate": bounds}, ("output",)), 64, seed=0)
    assert {point["learning_rate"] for point in drawn} <= {bounds.low, bounds.high}


def test_where_nothing_learns_all_trials_are_one_round() -> None:
    assert rounds(QUASI_RANDOM, prunes=False) == [range(6)]
    assert rounds(QUASI_RANDOM, prunes=True) == [range(3), range(3, 6)]
    assert rounds(replace(TPE, trials_per_round=4), prunes=False) == [range(4), range(4, 8), range(8, 9)]


def test_a_round_is_proposed_alike_whatever_was_proposed_before(tmp_path: Path) -> None:
    search = replace(TPE, trials_per_round=4)
    trials = searched(tmp_path / "study", search).trials
    again = proposals(search, SPACE, range(4, 8), trials[:4])
    assert [proposal.parameters["learning_rate"] for proposal in again] == [t.learning_rate for t in trials[4:8]]
    other = proposals(search, SPACE, range(4, 8), [replace(trial, val_loss=-trial.val_loss) for trial in trials[:4]])
    assert other != again, "it learned nothing from the trials before"
