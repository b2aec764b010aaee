"""Faults of the training itself, in a whole tiny cell: memory that runs out, losses that are no numbers, deaths."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.adaptation.strategies import TrainablePart
from backbench.config.config import CellConfig
from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import RangeConfig
from backbench.results.records import COMPLETE, PRUNED, TrialRecord
from backbench.results.result_files import read_best, read_cell, read_trials
from backbench.runtime.paths import Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.faults.conftest import Tried, differing
from tests.support.limited_memory import limit_memory
from tests.support.tiny_cell import Killed, Stage, cell_config_for, dying_once_at, forget, run

CELL = Cell("tiny", "fine_tuning")


def swept(config: CellConfig) -> tuple[TrialRecord, ...]:
    sweep(config)
    return read_trials(CELL)


def ways(trials: tuple[TrialRecord, ...]) -> dict[str, tuple[float, int, str]]:
    return {f"trial {trial.index}": (trial.learning_rate, trial.epochs, trial.state) for trial in trials}


def test_where_memory_runs_out_the_study_goes_on_in_halves(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, tried: Tried
) -> None:
    config = cell_config_for("fine_tuning", seeds=[0])
    config = replace(config, strategy=replace(config.strategy, batch_size=16, linear_probe_warmup=None))
    embed([config])
    whole = swept(config)
    forget()
    limit_memory(monkeypatch, "train_on_batch", 8)
    halved = swept(config)
    assert {trial.accumulation_steps for trial in whole} == {1}
    assert {trial.accumulation_steps for trial in halved} == {2}, "it is on record"
    train(config)
    assert read_cell(CELL).trials == halved
    # Dropout draws anew for each half, so losses are others; test_out_of_memory.py compares them without it.
    how = "a tiny cell on a backend that takes half a batch; counted are trials and epochs"
    tried("memory runs out in training", how=how, times=len(halved), lost=differing(ways(whole), ways(halved)))


def test_a_loss_that_is_no_number_prunes_its_trial_alone(workplace: Path, tried: Tried) -> None:
    config = cell_config_for("fine_tuning", seeds=[0])
    search = SearchConfig(
        name="few",
        sampler="quasi_random",
        num_trials=6,
        startup_trials=6,
        trials_per_batch=1,
        trials_per_round=1,
        seed=0,
    )
    wild = RangeConfig(low=1e-3, high=1e18)
    config = replace(config, search=search, strategy=replace(config.strategy, learning_rate=wild, epochs=6))
    embed([config])
    trials = swept(config)
    diverged = [trial for trial in trials if trial.reason.startswith("diverged: ")]
    assert 1 <= len(diverged) < search.num_trials
    assert {trial.state for trial in diverged} == {PRUNED}
    assert {trial.index for trial in trials} == set(range(search.num_trials))
    completed = {trial.index for trial in trials} - {trial.index for trial in diverged}
    lost = {f"trial {trial.index}" for trial in trials if trial.index in completed and trial.state != COMPLETE}
    lost |= set() if read_best(CELL).choice.trial in completed else {"the choice"}
    how = "a tiny cell with learning rates of up to 1e18"
    tried("a loss is not finite", how=how, times=len(diverged), lost=lost)


@pytest.mark.parametrize("strategy", ["feature_extraction", "fine_tuning"])
def test_a_stage_that_dies_again_and_again_goes_on_to_the_same_bytes(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, tried: Tried, strategy: str
) -> None:
    straight = run(strategy, seeds=[0, 1])
    forget()
    config = cell_config_for(strategy, seeds=[0, 1])
    num_deaths = 0
    for stage, call in ((sweep, 0), (sweep, 1), (sweep, 0), (train, 0)):
        num_deaths += dies(stage, config, monkeypatch, dying_once_at(call))
    how = f"`sweep` and `train` of a tiny cell, {strategy}, ended in the middle of a fit and started again"
    tried("a stage dies", how=how, times=num_deaths, lost=differing(straight, run(strategy, seeds=[0, 1])))


def dies(stage: Stage, config: CellConfig, monkeypatch: pytest.MonkeyPatch, fit: Callable[..., object]) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(TrainablePart, "fit", fit)
        with pytest.raises(Killed):
            stage(config)
    return 1
