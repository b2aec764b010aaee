"""What measures rates of the engine runs every task and keeps nothing; no time is asserted."""

from pathlib import Path

import pytest
from bench.pruning import swept
from bench.task_rate import tasks_per_second
from bench.trial_rate import trials_per_minute

from backbench.adaptation.training_inputs import TrainingInputs
from backbench.runtime import paths
from backbench.stages.sweep.cell_trials import CellTrials
from backbench.stages.sweep.study import study_of
from tests.support.engine_workers import work_in
from tests.support.tiny_cell import cell_config_for, embed_cell


def test_empty_tasks_have_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(tmp_path, monkeypatch)
    assert tasks_per_second(2, 10, tmp_path) > 0


def test_trials_of_a_cell_have_a_rate_and_are_not_kept(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(workplace, monkeypatch)
    config = cell_config_for("fine_tuning", seeds=[0])
    embed_cell(config)
    assert trials_per_minute(config, 2) > 0
    assert not list((paths.STATE / "trials").rglob("*.json"))
    inputs = TrainingInputs.of(config)
    trials, seconds = swept(study_of(inputs).space, CellTrials(inputs), config.search)
    assert [trial.index for trial in trials] == [0, 1, 2]
    assert seconds > 0
