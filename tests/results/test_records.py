"""Records survive the files that they are written to."""

from pathlib import Path

import pytest

from backbench.data.arrays.file_formats import write_yaml
from backbench.results.records import SeedRecord, over_seeds, results_digest
from backbench.results.result_files import read_best, read_cell, read_metrics, write_metrics
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError
from tests.support.finished_benchmark import NUM_EPOCHS, NUM_TRIALS, SEEDS, cells, make_finished_benchmark, write_cell


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def test_a_cell_reads_back_whole() -> None:
    record = read_cell(cells()[0])
    assert [trial.index for trial in record.trials] == list(range(NUM_TRIALS))
    assert [seed.seed for seed in record.seeds] == list(SEEDS)
    assert all(len(trial.history) == NUM_EPOCHS for trial in record.trials)
    assert all(len(seed.history) == NUM_EPOCHS for seed in record.seeds)
    assert record.trials[-1].state == "PRUNED"
    assert record.trials[-1].reason == "worse than others after epoch 2"
    assert record.best.choice.learning_rate == record.trials[record.best.choice.trial].learning_rate


def test_a_key_that_looks_like_a_float_stays_text() -> None:
    assert read_best(cells()[1]).cell_key == "1234567890123e01"


def test_small_learning_rates_read_back_as_the_same_floats() -> None:
    assert read_best(cells()[0]).configuration["strategy"]["rates"] == [0.001, 1e-05]


def test_reading_and_writing_again_gives_the_same_bytes() -> None:
    cell = cells()[0]
    before = cell.metrics.read_bytes()
    write_metrics(cell.metrics, read_metrics(cell.metrics, made_by="train"))
    assert cell.metrics.read_bytes() == before


def test_digest_is_the_same_for_the_same_results_and_differs_for_others() -> None:
    cell = cells()[0]
    first = results_digest(read_cell(cell))
    write_cell(cell, 0.5, seed=0)
    assert results_digest(read_cell(cell)) == first
    write_cell(cell, 0.6, seed=0)
    assert results_digest(read_cell(cell)) != first


def test_mean_and_sample_standard_deviation_are_over_seeds() -> None:
    found = over_seeds([SeedRecord(seed, {"accuracy": value}, 1, ()) for seed, value in enumerate((0.1, 0.2, 0.3))])
    assert found["mean"]["accuracy"] == pytest.approx(0.2)
    assert found["sd"]["accuracy"] == pytest.approx(0.1)


def test_one_seed_has_no_standard_deviation() -> None:
    metrics = read_metrics(paths.BASELINE / "metrics.json", made_by="baseline")
    assert set(metrics.sd.values()) == {None}


@pytest.mark.parametrize("name", ["trials", "trial_history", "best", "metrics", "history"])
def test_a_missing_file_names_the_stage_to_run(name: str) -> None:
    cell = cells()[0]
    getattr(cell, name).unlink()
    with pytest.raises(ArtifactError, match=f"dvc repro (sweep|train)@{cell}"):
        read_cell(cell)


def test_a_file_of_another_form_is_named() -> None:
    cell = cells()[0]
    write_yaml(cell.best, {"choice": {"trial": 1}})
    with pytest.raises(ArtifactError, match=r"best\.yaml.*expected the keys"):
        read_best(cell)
