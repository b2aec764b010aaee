"""The benchmark on a tiny backbone: every arm in this process, no time asserted."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from bench.rows import Row, read_rows
from bench.runs import Bench, Unit, units_of
from bench.start import make_start, shrink_residual_branches
from bench.studies import BACKBONES, FEATURE_EXTRACTION, FINE_TUNING, Study, study_of, tiny_study
from bench.workers import Arm, arms_of, make_arm

from tests.support.tiny import BACKBONE, TinyNet

# KerasTuner 1.4.8 names threads in the way of Python 3.9.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:currentThread\(\) is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:getName\(\) is deprecated:DeprecationWarning"),
]
ARMS = {"project", "textbook", "keras_tuner", "limits"}


def PlainNet(**arguments: Any) -> keras.Model:  # noqa: N802 - it stands where a Keras constructor stands
    """TinyNet without dropout, which would wake up in a frozen base under `fit`: no measured backbone has one."""

    def without_dropout(layer: keras.Layer) -> keras.Layer:
        changes = {"rate": 0.0} if isinstance(layer, keras.layers.Dropout) else {}
        return type(layer).from_config(layer.get_config() | changes)

    return keras.models.clone_model(TinyNet(**arguments), clone_function=without_dropout)


PLAIN = replace(BACKBONE, constructor=f"{__name__}.PlainNet")


class HereWorker:
    """An arm in the process of the tests."""

    start_seconds = 0.0

    def __init__(self, arm: str, study: Study, folder: Path) -> None:
        self._arm: Arm = make_arm(arm, study, folder)

    def measure(self, trial: str) -> list:
        return self._arm.measure(trial)

    def close(self) -> None:
        pass


def bench_in(folder: Path, open_worker: type = HereWorker) -> Bench:
    return Bench(folder / "rows.csv", folder / "work", open_worker, make_start, lambda line: None)


@pytest.fixture(scope="module", params=[FEATURE_EXTRACTION, FINE_TUNING])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Study, Path]]:
    folder = tmp_path_factory.mktemp("bench")
    study = tiny_study(request.param, PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        bench_in(folder).run(study, repeats=1, num_trials=2)
    return study, folder


def trials_of(rows: list[Row], arm: str) -> list[Row]:
    return sorted((row for row in rows if row.arm == arm and row.trial.isdigit()), key=lambda row: int(row.trial))


def test_every_arm_leaves_its_rows(finished: tuple[Study, Path]) -> None:
    rows = read_rows(finished[1] / "rows.csv")
    assert {row.arm for row in rows} == ARMS | set(finished[0].variants)
    assert {row.trial for row in rows if row.arm == "limits"} == {"start", "predict", "prefix", "epoch"}
    assert {row.trial for row in rows if row.arm == "project"} == {"start", "study", "embed", "0", "1"}
    for arm in ("textbook", "keras_tuner"):
        assert all(0 < row.first_step_seconds < row.seconds for row in trials_of(rows, arm))


def test_equal_trials_of_the_arms_have_equal_outcomes(finished: tuple[Study, Path]) -> None:
    """Fine-tuning stores activations in float16, so this project's losses may differ in the third digit."""
    study, folder = finished
    rows = read_rows(folder / "rows.csv")
    project, textbook, tuner = (trials_of(rows, arm) for arm in ("project", "textbook", "keras_tuner"))
    assert len(project) == len(textbook) == len(tuner) == 2
    tolerance = 1e-5 if study.suite == FEATURE_EXTRACTION else 1e-3
    for ours, theirs, searched in zip(project, textbook, tuner, strict=True):
        assert ours.learning_rate == theirs.learning_rate == searched.learning_rate
        assert theirs.val_loss == pytest.approx(searched.val_loss, rel=1e-5)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=tolerance)
        assert theirs.val_accuracy == pytest.approx(searched.val_accuracy, abs=1e-6)


def test_what_has_a_row_is_not_run_again(finished: tuple[Study, Path], tmp_path: Path) -> None:
    study, folder = finished
    shutil.copytree(folder / "work", tmp_path / "work")
    lines = (folder / "rows.csv").read_text().splitlines(keepends=True)
    (tmp_path / "rows.csv").write_text("".join(line for line in lines if ",limits,0,predict," not in line))
    opened: list[str] = []

    class Noting(HereWorker):
        def __init__(self, arm: str, study: Study, folder: Path) -> None:
            opened.append(arm)
            super().__init__(arm, study, folder)

    bench_in(tmp_path, Noting).run(study, repeats=1, num_trials=2)
    assert opened == ["limits"]


def test_a_different_arm_is_first_in_every_repeat() -> None:
    study = study_of(FINE_TUNING, "resnet50")
    arms = arms_of(study)
    repeats = range(len(arms))
    assert [units_of(study, repeat, 8)[0].arm for repeat in repeats] == arms
    for repeat in repeats:
        units = units_of(study, repeat, 8)
        assert len(set(units)) == len(units) == 8 + 8 + len(arms) - 2  # textbook and keras_tuner by trial
        assert Unit("limits", repeat, "predict") in units


def test_where_few_trials_are_run_each_repeat_runs_others() -> None:
    study = study_of(FEATURE_EXTRACTION, "resnet50")
    run = [unit.trial for repeat in range(3) for unit in units_of(study, repeat, 2) if unit.arm == "textbook"]
    assert run == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("suite", "num_trials", "batch_size"), [(FEATURE_EXTRACTION, 16, 64), (FINE_TUNING, 8, 32)])
def test_the_full_studies_are_those_of_the_page(suite: str, num_trials: int, batch_size: int) -> None:
    for backbone in BACKBONES[suite]:
        config = study_of(suite, backbone).config
        assert (config.search.num_trials, config.strategy.batch_size, config.strategy.epochs) == (
            num_trials,
            batch_size,
            10,
        )
        assert (config.strategy.views, config.strategy.linear_probe_warmup) == (1, None)
        assert config.backbone.has_own_width
        assert config.backbone.input_size_pixels == config.dataset.image_size_pixels == 96


def test_residual_branches_start_small_and_shortcuts_do_not() -> None:
    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    shrink_residual_branches(model)
    shrunk = {layer.name for layer in model.layers if hasattr(layer, "gamma") and float(layer.gamma[0]) != 1.0}
    assert len(shrunk) == 16  # one per block
    assert all(name.endswith("_3_bn") for name in shrunk)
