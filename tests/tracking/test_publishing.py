"""What compare leaves in MLflow: all of it, once, and again after the store was deleted."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from backbench.config.running_config import TrackingConfig
from backbench.runtime import paths
from backbench.runtime.atomic_files import write_text
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import BackbenchError
from tests.support import mlflow_store
from tests.support.configs import PROJECT
from tests.support.finished_benchmark import DIGESTS, cells, fresh_store, write_cell
from tests.support.mlflow_store import make_benchmark_without_a_store, publish

CHOSEN = "vgg16_slim-fine_tuning"


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished benchmark of the test's own, and an empty store, as the working folder."""
    make_benchmark_without_a_store(tmp_path)
    monkeypatch.chdir(tmp_path)
    empty_store("first")


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished benchmark whose store `first` was told everything, and what a reader sees there."""
    folder = tmp_path_factory.mktemp("published")
    make_benchmark_without_a_store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        empty_store("first")
        publish(config())
        return folder, content("first")


@pytest.fixture
def published(published_once: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a reader sees in the store `first`; the working folder is its benchmark, which tests leave as it is."""
    folder, seen = published_once
    monkeypatch.chdir(folder)
    return seen


def empty_store(name: str) -> None:
    Path(name).mkdir()
    Path(f"{name}/mlflow.db").write_bytes(fresh_store())


def config(store: str = "first", **changes: Any) -> TrackingConfig:
    """A store in a folder of its own, with its artifacts."""
    return mlflow_store.config(f"{store}/mlflow.db", **changes)


def client(store: str = "first") -> MlflowClient:
    return mlflow_store.client(f"{store}/mlflow.db")


def experiment_id(store: str) -> str:
    found = client(store).get_experiment_by_name("synthetic")
    assert found is not None
    return str(found.experiment_id)


def runs(store: str = "first", condition: str = "") -> list[Run]:
    return mlflow_store.runs_of(config(store), condition)


def run_named(name: str, store: str = "first") -> Run:
    (found,) = [run for run in runs(store) if run.info.run_name == name]
    return found


def model_of(run: Run, store: str = "first") -> Any:
    (found,) = client(store).search_logged_models([experiment_id(store)], f"source_run_id = '{run.info.run_id}'")
    return found


def files_under(folder: Path) -> dict[str, str]:
    """Digests by path, but of what MLflow writes ids and times into."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "MLmodel"]
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def content(store: str) -> dict[str, Any]:
    """Everything that a reader sees in a store, but ids and times."""
    mlflow, found = client(store), runs(store)
    names = {run.info.run_id: run.info.run_name for run in found}
    models = mlflow.search_logged_models([experiment_id(store)])
    models_of = {names[model.source_run_id]: model for model in models}
    assert len(models_of) == len(models)
    (registered,) = mlflow.search_registered_models()
    versions = mlflow.search_model_versions("name = 'synthetic'")
    return {
        "runs": sorted(
            (
                names.get(run.data.tags.get("mlflow.parentRunId", ""), ""),
                run.info.run_name,
                run.info.status,
                {name: value for name, value in run.data.tags.items() if name != "mlflow.parentRunId"},
                run.data.params,
                run.data.metrics,
                {
                    name: [(point.step, point.value) for point in mlflow.get_metric_history(run.info.run_id, name)]
                    for name in run.data.metrics
                },
                [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs],
                len(run.outputs.model_outputs) if run.outputs else 0,
                files_under(Path(run.info.artifact_uri)) if Path(run.info.artifact_uri).exists() else {},
            )
            for run in found
        ),
        "models": {
            name: (
                model.status,
                model.params,
                model.tags,
                sorted((metric.key, metric.value) for metric in model.metrics),
                files_under(Path(model.artifact_location)),
            )
            for name, model in models_of.items()
        },
        "registry": (registered.name, registered.description, registered.aliases),
        "versions": [(each.version, names[each.run_id], each.description, each.tags) for each in versions],
        "experiment": mlflow.get_experiment_by_name("synthetic").tags,
    }


def test_a_deleted_store_is_restored_whole_by_a_process_without_keras(published: dict[str, Any]) -> None:
    assert len(published["models"]) == 4
    code = (
        "import sys; from tests.support.mlflow_store import config, publish; publish(config('second/mlflow.db'));"
        "print({'keras', 'tensorflow', 'optuna'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "src")])}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "set()"
    assert content("second") == published


def test_publishing_again_adds_nothing(published: dict[str, Any]) -> None:
    ids = {model.model_id for model in client().search_logged_models([experiment_id("first")])}
    publish(config())
    assert content("first") == published
    assert {model.model_id for model in client().search_logged_models([experiment_id("first")])} == ids


@pytest.mark.usefixtures("published")
def test_a_cells_run_has_its_files_in_folders_and_says_what_it_is() -> None:
    run = run_named(CHOSEN)
    assert sorted(files_under(Path(run.info.artifact_uri))) == [
        "configuration.yaml",
        "model/model.yaml",
        "predictions/fine_tuning.parquet",
        "results/best.yaml",
        "results/history.csv",
        "results/metrics.json",
        "results/trial_history.csv",
        "results/trials.csv",
    ]
    mlflow = client()
    assert {"test_accuracy_mean", "test_accuracy_sd", "test_macro_auroc_mean", "learning_rate"} <= set(run.data.metrics)
    assert {len(mlflow.get_metric_history(run.info.run_id, name)) for name in run.data.metrics} == {1}
    tags = run.data.tags
    assert {name: tags[f"backbench.{name}"] for name in ("backbone", "strategy", "rank", "champion")} == {
        "backbone": "vgg16_slim",
        "strategy": "fine_tuning",
        "rank": "1",
        "champion": "true",
    }
    assert "Rank 1 of 5 by validation loss, 1 by test accuracy: chosen." in tags["mlflow.note.content"]
    (found,) = runs("first", "tags.`backbench.champion` = 'true'")
    assert found.info.run_id == run.info.run_id


@pytest.mark.usefixtures("published")
def test_the_comparison_is_a_run_that_holds_the_answer() -> None:
    run = run_named("comparison synthetic")
    assert run.data.tags["backbench.kind"] == "comparison"
    assert run.data.tags["mlflow.note.content"].startswith("It is so.\n\nChosen by the lowest validation loss")
    assert sorted(files_under(Path(run.info.artifact_uri))) == ["leaderboard.csv", "report/index.html", "summary.json"]
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [DIGESTS["data"][:36]]


@pytest.mark.usefixtures("published")
def test_a_logged_model_has_signature_example_and_pinned_requirements_and_no_pickle() -> None:
    folder = Path(model_of(run_named(CHOSEN)).artifact_location)
    described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    inputs, outputs = (json.loads(described["signature"][side]) for side in ("inputs", "outputs"))
    assert inputs[0]["tensor-spec"] == {"dtype": "uint8", "shape": [-1, -1, -1, 3]}
    assert outputs[0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 3]}
    example = json.loads((folder / "input_example.json").read_text(encoding="utf-8"))
    assert len(example) == 2
    assert (folder / "requirements.txt").read_text(encoding="utf-8").count("==") >= 10
    files = files_under(folder)
    assert sorted(name for name in files if name.startswith("artifacts/")) == [
        "artifacts/model/frozen.weights.h5",
        "artifacts/model/model.yaml",
        "artifacts/model/seed-1.weights.h5",
    ]
    assert not [name for name in files if name.endswith((".pkl", ".pickle"))]


@pytest.mark.usefixtures("benchmark")
@pytest.mark.parametrize(("models", "logged"), [("none", 0), ("champion", 1)])
def test_models_can_be_left_out(models: str, logged: int) -> None:
    publish(config(models=models))
    assert len(client().search_logged_models([experiment_id("first")])) == logged
    assert len(client().search_registered_models()) == logged


@pytest.mark.usefixtures("benchmark")
def test_a_new_choice_is_a_new_version_and_an_old_one_is_found_again() -> None:
    publish(config())
    alias = client().get_model_version_by_alias("synthetic", "champion")
    assert (str(alias.version), alias.run_id) == ("1", run_named(CHOSEN).info.run_id)
    assert alias.description.startswith(f"# {CHOSEN} on synthetic")
    other = cells()[0]
    write_cell(other, 1.0, seed=7, val_accuracy=0.5)  # the best on test, and not on validation
    publish(config())
    alias = client().get_model_version_by_alias("synthetic", "champion")
    assert client().get_run(alias.run_id).info.run_name == CHOSEN
    write_cell(other, 1.0, seed=7)
    publish(config())
    alias = client().get_model_version_by_alias("synthetic", "champion")
    assert str(alias.version) == "2"
    assert client().get_run(alias.run_id).info.run_name == str(other)
    (champion,) = runs("first", "tags.`backbench.champion` = 'true'")
    assert champion.info.run_id == alias.run_id
    assert len([run for run in runs() if run.info.run_name == str(other)]) == 3
    assert len(runs("first", "tags.`backbench.rank` LIKE '%'")) == len(cells())
    write_cell(other, 0.5, seed=0)
    publish(config())
    assert str(client().get_model_version_by_alias("synthetic", "champion").version) == "1"
    assert len(client().search_model_versions("name = 'synthetic'")) == 2


@pytest.mark.usefixtures("benchmark")
def test_a_model_whose_logging_was_killed_is_logged_whole(
    published_once: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "finalize_logged_model", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish(config())
    publish(config())
    models = client().search_logged_models([experiment_id("first")])
    assert [model.status for model in models] == ["READY"] * len(cells())
    _, straight = published_once
    assert content("first") == straight


@pytest.mark.usefixtures("benchmark")
def test_a_missing_or_another_weights_file_is_one_line() -> None:
    folder = cells()[0].models
    (folder / "seed-1.weights.h5").write_bytes(b"other")
    with pytest.raises(BackbenchError, match=r"seed-1\.weights\.h5: expected SHA-256") as caught:
        publish(config())
    assert "\n" not in str(caught.value)
    shutil.rmtree(folder)
    with pytest.raises(BackbenchError, match=r"expected models/.*/model\.yaml, found nothing there; run `dvc repro"):
        publish(config())


@pytest.mark.usefixtures("benchmark")
def test_a_file_of_other_content_and_the_same_size_is_put_in_the_older_ones_place() -> None:
    publish(config(models="none"))
    report = paths.REPORT / "index.html"
    other = report.read_text(encoding="utf-8").swapcase()
    write_text(report, other)
    publish(config(models="none"))
    run = run_named("comparison synthetic")
    assert (Path(run.info.artifact_uri) / "report/index.html").read_text(encoding="utf-8") == other


@pytest.mark.usefixtures("benchmark")
def test_a_mark_of_a_ranking_by_test_accuracy_is_taken_off() -> None:
    publish(config(models="none"))
    run = run_named(CHOSEN)
    client().set_tag(run.info.run_id, "backbench.tied_with_best", "true")
    publish(config(models="none"))
    assert "backbench.tied_with_best" not in run_named(CHOSEN).data.tags


@pytest.mark.usefixtures("benchmark")
def test_without_a_report_the_rest_is_there() -> None:
    shutil.rmtree(paths.REPORT)
    publish(replace(config(), models="none"))
    run = run_named("comparison synthetic")
    assert sorted(files_under(Path(run.info.artifact_uri))) == ["leaderboard.csv", "summary.json"]
