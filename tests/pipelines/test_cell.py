"""One cell from images to test metrics, on a tiny backbone: embed, sweep and train as the stages run them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from backbench.adaptation.schedule import Hyperparameters
from backbench.adaptation.strategies import TrainablePart
from backbench.config.config import CellConfig
from backbench.config.dataset_config import NO_AUGMENTATION
from backbench.config.search_config import PrunerConfig
from backbench.config.strategy_config import RangeConfig
from backbench.evaluation.predictions import read_predictions
from backbench.results.result_files import read_best, read_cell, read_trials, write_best
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ArtifactError, DivergedError, MemoryLimitError
from backbench.runtime.paths import Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.support.configs import strategy_config
from tests.support.tiny_cell import STRATEGIES, Killed, Stage, cell_config_for, dying_once_at, forget, run, run_cell

Finished = Callable[[str], dict[str, str]]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_seed_zero_twice_is_the_same_and_seed_one_differs(strategy: str, finished: Finished) -> None:
    first = finished(strategy)
    forget()
    again = run(strategy, seeds=[0, 1])
    assert first == again
    models = {path: digest for path, digest in first.items() if path.endswith(".weights.h5")}
    assert len(models) == len(set(models.values())) == 3, "two seeds, and the frozen part"
    record = read_cell(Cell("tiny", strategy))
    assert record.metrics.mean["test_accuracy"] > 0.4
    histories = [seed.history for seed in record.seeds]
    assert histories[0] != histories[1]
    left = {path.relative_to(paths.STATE).parts[0] for path in paths.STATE.rglob("*") if path.is_file()}
    assert left == {"trials", "train"}, "no state of a stage under way"


@pytest.mark.parametrize(
    ("strategy", "kills"),
    [("feature_extraction", [(sweep, 0), (sweep, 1), (train, 0)]), ("fine_tuning", [(sweep, 2), (train, 1)])],
)
def test_a_cell_killed_in_the_middle_ends_in_the_same_bytes(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, strategy: str, kills: list[tuple[Stage, int]]
) -> None:
    straight = finished(strategy)
    forget()
    config = cell_config_for(strategy, seeds=[0, 1])
    for stage, call in kills:
        with monkeypatch.context() as patch:
            patch.setattr(TrainablePart, "fit", dying_once_at(call))
            with pytest.raises(Killed):
                stage(config)
    assert run(strategy, seeds=[0, 1]) == straight


def test_the_sweep_never_reads_the_test_split(finished: Finished) -> None:
    cell = Cell("tiny", "feature_extraction")
    before = finished(cell.strategy)
    labels = np.load(paths.DATASET / "labels-test.npy")
    np.save(paths.DATASET / "labels-test.npy", (labels + 1) % 3)
    values = np.load(cell.activations / "output/test.npy")
    np.save(cell.activations / "output/test.npy", np.zeros_like(values))
    forget()
    sweep(cell_config_for(cell.strategy, seeds=[0, 1]))
    for path in (cell.trials, cell.trial_history, cell.best):
        assert file_sha256(path) == before[path.as_posix()]


def test_every_test_image_is_predicted_once_per_seed(finished: Finished) -> None:
    finished("feature_extraction")
    cell = Cell("tiny", "feature_extraction")
    predictions = read_predictions(cell.predictions, made_by="train")
    labels = np.load(paths.DATASET / "labels-test.npy")
    assert predictions.probabilities.shape == (2, len(labels), 3)
    assert np.array_equal(predictions.labels, labels)
    accuracy = float((predictions.probabilities.argmax(axis=2) == labels).mean())
    assert read_cell(cell).metrics.mean["test_accuracy"] == pytest.approx(accuracy, abs=1e-12)


def test_a_stage_without_its_inputs_names_the_stage_to_run(workplace: Path) -> None:
    with pytest.raises(ArtifactError, match=r"boundary\.json, found nothing there; run `dvc repro embed` first"):
        sweep(cell_config_for("feature_extraction", seeds=[0]))


VARIANTS = {
    "boundaries_to_choose_from": strategy_config(
        "fine_tuning", boundary=["last_stage", "stem_out", "output"], epochs=2, views=2, linear_probe_warmup=None
    ),
    "nothing_stored": strategy_config(
        "fine_tuning", epochs=2, views=2, linear_probe_warmup=None, activation_limit_gigabytes=0
    ),
    "views_on_the_fly": strategy_config("fine_tuning", epochs=2, views="on_the_fly"),
    "heads_on_views_on_the_fly": strategy_config("feature_extraction", epochs=2, views="on_the_fly"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_cell_runs_whatever_its_strategy_stores_and_chooses_from(name: str, workplace: Path) -> None:
    strategy = VARIANTS[name]
    config = cell_config_for(strategy.name, seeds=[0, 1])
    augmented = replace(config.dataset, augmentation=replace(NO_AUGMENTATION, shift=0.1, brightness=0.1))
    config = replace(config, dataset=augmented, strategy=strategy)
    embed([config])
    digests = results_of(config)
    record = read_cell(Cell("tiny", strategy.name))
    assert record.best.num_trials == len(record.trials) == config.search.num_trials
    assert record.metrics.boundary == record.best.choice.boundary
    tried = {trial.boundary for trial in record.trials}
    assert len(tried) > 1 if name == "boundaries_to_choose_from" else len(tried) == 1
    if name in ("nothing_stored", "views_on_the_fly"):
        assert record.metrics.mean["test_accuracy"] > 0.4
        forget()
        assert results_of(config) == digests, "what is computed on the way is computed alike"


def test_where_nothing_is_stored_the_choice_is_that_of_what_is(workplace: Path) -> None:
    losses = []
    for limit in (20.0, 0.0):
        changes = {"linear_probe_warmup": None, "activation_limit_gigabytes": limit, "activation_dtype": "float32"}
        strategy = strategy_config("fine_tuning", epochs=2, views=2, **changes)
        config = replace(cell_config_for("fine_tuning", seeds=[0]), strategy=strategy)
        embed([config])
        sweep(config)
        losses.append([trial.val_loss for trial in read_trials(Cell("tiny", "fine_tuning"))])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_mixed_precision_computes_in_half_and_ends_near_single(finished: Finished) -> None:
    finished("fine_tuning")
    single = [trial.val_loss for trial in read_trials(Cell("tiny", "fine_tuning"))]
    config = cell_config_for("fine_tuning", seeds=[0])
    run_cell(replace(config, benchmark=replace(config.benchmark, precision="mixed_bfloat16")))
    half = [trial.val_loss for trial in read_trials(Cell("tiny", "fine_tuning"))]
    assert keras.config.dtype_policy().name == "float32"
    assert half != single
    assert half == pytest.approx(single, rel=0.05)


def test_where_every_trial_or_a_final_model_diverges_the_stage_says_so_in_one_line(workplace: Path) -> None:
    config = cell_config_for("feature_extraction", seeds=[0])
    far_too_high = RangeConfig(low=1e30, high=1e31)
    strategy = replace(config.strategy, learning_rate=far_too_high, weight_decay=far_too_high)
    cell = Cell("tiny", "feature_extraction")
    embed([config])
    with pytest.raises(DivergedError, match="found all 3 pruned, the first because it diverged: "):
        sweep(replace(config, strategy=strategy))
    sweep(config)
    best = read_best(cell)
    write_best(cell, replace(best, choice=replace(best.choice, learning_rate=1e30, weight_decay=1e30)))
    with pytest.raises(DivergedError, match="seed 0, found that it diverged: .* conf/strategy/feature_extraction.yaml"):
        train(config)
    assert not cell.metrics.exists()


def test_a_cell_that_cannot_fit_into_memory_is_refused_before_its_first_trial(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = cell_config_for("fine_tuning", seeds=[0])
    embed([config])
    monkeypatch.setattr("backbench.adaptation.training_inputs.available_bytes", lambda: 1000)
    with pytest.raises(MemoryLimitError, match="accumulation_steps in conf/strategy/fine_tuning.yaml"):
        sweep(config)
    assert not Cell("tiny", "fine_tuning").results.exists()


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates each fit had, linear-probe warm-ups aside."""
    fit, sizes = TrainablePart.fit, list[int]()

    def counting(self: TrainablePart, candidates: Sequence[Hyperparameters], *arguments: Any, **options: Any) -> object:
        sizes.append(len(candidates))
        return fit(self, candidates, *arguments, **options)

    monkeypatch.setattr(TrainablePart, "fit", counting)
    return sizes


def searching(num_trials: int, strategy: str = "fine_tuning", seeds: Sequence[int] = (0, 1)) -> CellConfig:
    config = cell_config_for(strategy, seeds=list(seeds))
    pruner = PrunerConfig(percentile=50.0, startup_trials=1, warmup_epochs=1)
    search = replace(config.search, num_trials=num_trials, trials_per_round=2, trials_per_batch=8, pruner=pruner)
    return replace(config, search=search)


def results_of(config: CellConfig) -> dict[str, str]:
    for stage in (sweep, train):
        stage(config)
    cell = Cell("tiny", config.strategy.name)
    files = [*cell.results.iterdir(), *cell.models.iterdir(), cell.predictions]
    return {path.as_posix(): file_sha256(path) for path in sorted(files)}


def test_more_trials_and_seeds_train_what_is_new_and_end_as_all_from_scratch(
    workplace: Path, fitted: list[int]
) -> None:
    embed([searching(2)])
    results_of(searching(2))
    assert fitted == [1] * (2 + 2)
    fitted.clear()
    results_of(searching(4))
    assert len(fitted) - 2 in (0, 2), "the same choice is not trained again"
    fitted.clear()
    longer = results_of(searching(4, seeds=[0, 1, 2]))
    assert fitted == [1], "one more seed"
    forget()
    fitted.clear()
    assert results_of(searching(4, seeds=[0, 1, 2])) == longer
    assert fitted == [1] * (4 + 3)


def test_heads_that_train_as_one_network_are_known_together_or_not_at_all(workplace: Path, fitted: list[int]) -> None:
    embed([searching(4, "feature_extraction")])
    results_of(searching(4, "feature_extraction"))
    results_of(searching(8, "feature_extraction", seeds=[0, 1, 2]))
    assert fitted == [4, 2, 8, 3]


def test_models_whose_bytes_are_not_those_that_were_kept_are_trained_again(
    finished: Finished, fitted: list[int]
) -> None:
    first = finished("fine_tuning")
    fitted.clear()  # whoever asks for a finished cell first makes it
    (kept,) = paths.STATE.rglob("seed-1.weights.h5")
    # In place, as a program might that thinks the models its own: they share the blocks of the disk.
    with kept.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    found = results_of(cell_config_for("fine_tuning", seeds=[0, 1]))
    assert found == {path: first[path] for path in found}
    assert fitted == [1]


def test_other_code_computes_every_trial_again(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, fitted: list[int]
) -> None:
    """Whatever else decides a trial: test_state_keys.py, and of the pruner test_finished_trials.py."""
    finished("feature_extraction")
    fitted.clear()  # whoever asks for a finished cell first makes it
    config = cell_config_for("feature_extraction", seeds=[0, 1])
    sweep(config)
    assert fitted == []
    monkeypatch.setattr("backbench.results.cell_inputs.code_fingerprint", lambda *modules: "other code")
    sweep(config)
    assert sum(fitted) == config.search.num_trials
