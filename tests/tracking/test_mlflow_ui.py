"""MLflow's own UI on a finished benchmark: two cells are compared there, in a browser.

`BACKBENCH_SCREENSHOTS` names a folder that the pictures are put into too; `BACKBENCH_STORE` names another store's
address, with its cells' runs in the MLflow experiment `BACKBENCH_EXPERIMENT`, to take pictures of.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from backbench.config.running_config import TrackingConfig
from tests.support.chromium import chromium
from tests.support.engines.mlflow_server import MlflowServer, running_mlflow_server
from tests.support.finished_benchmark import cells
from tests.support.mlflow_store import make_benchmark_without_a_store, publish

pytestmark = [pytest.mark.browser, pytest.mark.mlflow_server, pytest.mark.timeout(240)]
# As a reader would choose them under `Columns`.
COLUMNS = ("metrics.`val_loss_mean`", "metrics.`test_accuracy_mean`", "metrics.`learning_rate`")
WAIT_MILLISECONDS = 60_000
# The first visit opens an assistant beside the page, and shows pages for language models in place of runs.
SETTLED = {
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.workflowType_v1": '"machine_learning"',
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished benchmark, as the working folder."""
    folder = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        make_benchmark_without_a_store(folder)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a real MLflow server."""
    if "BACKBENCH_STORE" in os.environ:
        with running_mlflow_server(os.environ["BACKBENCH_STORE"]) as own:
            yield own.address
    else:
        shared: MlflowServer = request.getfixturevalue("mlflow_server")
        yield shared.address


def first_two(address: str, experiment: str) -> tuple[str, list[Run]]:
    client = MlflowClient(tracking_uri=address)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    order, condition = ["metrics.`val_loss_mean` ASC"], "tags.`backbench.kind` = 'cell'"
    runs = client.search_runs([found.experiment_id], condition, order_by=order)
    return str(found.experiment_id), list(runs[:2])


def chosen_columns(experiment_id: str) -> dict[str, str]:
    key = f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment_id}"]-ReactComponentState'
    return {key: json.dumps({"selectedColumns": ["attributes.`Models`", *COLUMNS]})}


def test_two_cells_are_compared_in_the_ui(server: str, work: Path) -> None:
    from playwright.sync_api import expect

    experiment = os.environ.get("BACKBENCH_EXPERIMENT", "synthetic")
    if "BACKBENCH_STORE" not in os.environ:
        publish(TrackingConfig(uri=server, experiment=experiment))
    experiment_id, runs = first_two(server, experiment)
    pictures = [work, *map(Path, filter(None, [os.environ.get("BACKBENCH_SCREENSHOTS")]))]
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(WAIT_MILLISECONDS)
        expect.set_options(timeout=WAIT_MILLISECONDS)
        settled = {**SETTLED, **chosen_columns(experiment_id)}
        page.add_init_script(f"Object.entries({json.dumps(settled)}).forEach(each => localStorage.setItem(...each))")

        def picture(name: str) -> None:
            page.wait_for_timeout(1500)  # until what moves has come to rest
            for folder in pictures:
                page.screenshot(path=folder / f"mlflow-{name}.png")

        condition = quote("tags.`backbench.kind` = 'cell'")
        order = f"orderByKey={quote('metrics.`val_loss_mean`')}&orderByAsc=true"
        page.goto(f"{server}/#/experiments/{experiment_id}/runs?searchFilter={condition}&{order}")
        for run in runs:
            expect(page.get_by_text(run.info.run_name).first).to_be_visible()
        unchecked = page.get_by_label("Press Space to toggle row selection (unchecked)")
        for _ in runs:
            unchecked.first.click()
        picture("cells")
        page.get_by_role("button", name="Compare", exact=True).click()
        page.wait_for_url("**/compare-runs?**")
        for run in runs:
            expect(page.get_by_text(run.info.run_name).first).to_be_visible()
            shown = f"{run.data.metrics['test_accuracy_mean']:.3f}"[:-1]
            expect(page.get_by_text(shown).first).to_be_attached()
        expect(page.get_by_text("test_accuracy_mean").first).to_be_attached()
        for section in ("Visualizations", "Parameters"):  # fold them, so that names and numbers are on one picture
            page.get_by_role("button", name=section, exact=True).click()
        picture("compare")
        page.goto(f"{server}/#/models/{experiment}/versions/1")
        expect(page.get_by_text("@ champion").first).to_be_visible()
        expect(page.get_by_role("heading", name=f"{runs[0].info.run_name} on ").first).to_be_visible()
        picture("champion")


def test_a_server_is_told_the_same_as_a_file(server: str, work: Path) -> None:
    tracking = TrackingConfig(uri=server, experiment="synthetic")
    publish(tracking)
    publish(tracking)
    client = MlflowClient(tracking_uri=server)
    experiment_id, runs = first_two(server, "synthetic")
    assert len(client.search_logged_models([experiment_id])) == len(cells())
    version = client.get_model_version_by_alias("synthetic", "champion")
    assert (str(version.version), version.run_id) == ("1", runs[0].info.run_id)
    model = Path(client.download_artifacts(runs[0].info.run_id, "model/model.yaml"))
    assert model.read_bytes() == (cells()[-1].models / "model.yaml").read_bytes()
