"""What a longer study takes up of a shorter one: all that is decided alike, and nothing else."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.config.search_config import SearchConfig
from backbench.results.records import TrialRecord
from backbench.search.search import Proposal
from backbench.stages.sweep.study import ShouldStop, forget_others
from tests.support.toy_study import SEARCHES, fit, searched, toy_study


def studied(place: Path, search: SearchConfig) -> tuple[list[TrialRecord], list[int]]:
    """Run a study that keeps its finished trials in a place; return its trials, and the positions that were run."""
    run: list[int] = []

    def objective(batch: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        run.extend(proposal.position for proposal in batch)
        return fit(batch, should_stop)

    found = searched(place / "kept", search, objective)
    assert found.num_known == search.num_trials - len(run)
    return found.trials, sorted(run)


def longer(search: SearchConfig) -> SearchConfig:
    return replace(search, num_trials=2 * search.num_trials)


@pytest.mark.parametrize("name", [name for name in SEARCHES if "batches" not in name])
def test_a_longer_study_runs_what_is_new_and_ends_as_one_from_scratch(tmp_path: Path, name: str) -> None:
    search = SEARCHES[name]
    studied(tmp_path / "twice", search)
    trials, run = studied(tmp_path / "twice", longer(search))
    straight, all_run = studied(tmp_path / "once", longer(search))
    assert trials == straight
    assert all_run == list(range(2 * search.num_trials))
    assert run == all_run[search.num_trials :]
    assert studied(tmp_path / "twice", longer(search)) == (straight, [])


def test_a_batch_of_other_trials_is_run_again_whole(tmp_path: Path) -> None:
    search = SEARCHES["quasi_random_in_batches"]
    assert (search.num_trials, search.trials_per_batch) == (6, 4)
    studied(tmp_path, search)
    trials, run = studied(tmp_path, replace(search, num_trials=8))
    assert run == [4, 5, 6, 7], "the second batch had two trials"
    assert trials == studied(tmp_path / "once", replace(search, num_trials=8))[0]


def test_a_shorter_study_and_one_of_another_sampler_take_up_what_they_propose_alike(tmp_path: Path) -> None:
    tpe = SEARCHES["tpe"]
    quasi_random = replace(tpe, name="other", sampler="quasi_random")
    studied(tmp_path, longer(tpe))
    assert studied(tmp_path, tpe)[1] == []
    assert studied(tmp_path, quasi_random)[1] == list(range(tpe.startup_trials, tpe.num_trials))


@pytest.mark.parametrize(
    "change", [{"percentile": 40.0}, {"warmup_epochs": 2}, None], ids=["percentile", "warmup", "no_pruner"]
)
def test_another_pruner_takes_up_nothing(tmp_path: Path, change: dict[str, float] | None) -> None:
    search = SEARCHES["pruned_in_rounds"]
    assert search.pruner is not None
    studied(tmp_path, search)
    other = replace(search, pruner=None if change is None else replace(search.pruner, **change))
    trials, run = studied(tmp_path, other)
    assert run == list(range(search.num_trials))
    assert trials == studied(tmp_path / "once", other)[0]


def test_where_trials_may_be_pruned_those_before_decide_too(tmp_path: Path) -> None:
    search = SEARCHES["pruned_in_rounds"]
    studied(tmp_path, search)
    other = replace(search, trials_per_round=2)
    trials, run = studied(tmp_path, other)
    assert run == [2, 3, 4, 5], "the first three knew of none, the third now knows of two"
    assert trials == studied(tmp_path / "once", other)[0]


def test_what_others_left_goes_and_a_file_that_is_not_whole_counts_for_nothing(tmp_path: Path) -> None:
    search = SEARCHES["quasi_random"]
    (tmp_path / "kept").mkdir()
    (tmp_path / "other weights").mkdir()
    studied(tmp_path / "here", search)
    shutil.move(tmp_path / "here/kept", tmp_path / "here/other code")
    assert studied(tmp_path / "here", search)[1] == list(range(6))
    forget_others([toy_study(tmp_path / "here/kept", search)])
    assert [folder.name for folder in (tmp_path / "here").iterdir()] == ["kept"]
    for file in (tmp_path / "here/kept").iterdir():
        file.write_text(file.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    assert studied(tmp_path / "here", search)[1] == list(range(6))
