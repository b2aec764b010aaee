"""The model of a cell as MLflow keeps it, and the chosen one in its registry: one name per MLflow experiment.

A model is saved from files alone: nothing here imports Keras, nothing is pickled. It carries the modules of this
package that it needs, and no others.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from backbench.results.model_folder import DESCRIPTION, ModelDescription, read_description, verify_weights
from backbench.results.records import CellRecord, results_digest
from backbench.runtime.installation import installed
from backbench.runtime.source_code import PACKAGE, imported_modules
from backbench.tracking.connection import Connection, metric_points
from backbench.tracking.runs import RESULTS_DIGEST, cell_metrics

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient

CODE = Path(__file__).with_name("served_model.py")
MODEL_NAME = "model"
# What backbench.export.exported_model imports, as distributions are named; its backend comes to that.
REQUIREMENTS = (
    *("mlflow", "filelock", "h5py", "keras", "numpy", "omegaconf", "pillow", "pydantic", "safetensors"),
    "scikit-learn",
)
CHAMPION = "champion"
MAX_DESCRIPTION_CHARACTERS = 5000  # of the registry's tables
START = "export/exported_model"
# A backbone's constructor may be any of these: the configuration names it, no import does.
WHOLE = "backbones"


def log_model(connection: Connection, run_id: str, record: CellRecord, example: np.ndarray) -> str:
    """Log the model of a cell's run with signature and input example, unless the run has one; return its id.

    `example` is uint8 RGB `(n, height, width, 3)`.

    Raises:
        BackbenchError: a file of the model is missing or is another one.
    """
    client = connection.client
    condition = f"source_run_id = '{run_id}' and name = '{MODEL_NAME}'"
    found = client.search_logged_models([connection.experiment_id], filter_string=condition)
    # Perhaps only begun, by a killed process.
    model = min(found, key=lambda model: model.status != "READY", default=None)
    if model is None or model.status != "READY":
        description = read_description(record.cell.models, made_by=f"train@{record.cell}")
        verify_weights(record.cell.models, description)
        model = model or _begun(connection, run_id, record, description)
        with TemporaryDirectory() as folder:
            saved = _saved(Path(folder), record.cell.models, description, example, model)
            client.log_model_artifacts(model.model_id, str(saved))
        _link(connection, run_id, record, model.model_id)
        client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _begun(connection: Connection, run_id: str, record: CellRecord, description: ModelDescription) -> "LoggedModel":
    choice = record.best.choice
    params = {"boundary": choice.boundary, "learning_rate": choice.learning_rate, "seed": description.seed}
    return connection.client.create_logged_model(
        connection.experiment_id,
        name=MODEL_NAME,
        source_run_id=run_id,
        tags={"backbench.cell": str(record.cell), RESULTS_DIGEST: results_digest(record)},
        params={name: str(value) for name, value in params.items()},
        model_type="image classifier",
    )


def _link(connection: Connection, run_id: str, record: CellRecord, model_id: str) -> None:
    """Show the model beside its run, with the run's numbers."""
    from mlflow.entities import LoggedModelOutput

    client, run = connection.client, connection.client.get_run(run_id)
    client.log_batch(run_id, metric_points(run, cell_metrics(record), {}, model_id))
    outputs = run.outputs.model_outputs if run.outputs else []
    if model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _saved(folder: Path, files: Path, description: ModelDescription, example: np.ndarray, model: "LoggedModel") -> Path:
    """Write what `mlflow.pyfunc.load_model` takes into an empty folder: code, the weights, and what they are."""
    chosen, package, saved = folder / MODEL_NAME, folder / PACKAGE.name, folder / "saved"
    chosen.mkdir()
    for name in (DESCRIPTION, *description.files):
        shutil.copyfile(files / name, chosen / name)
    copy_modules(package)
    # MLflow warns of its own type hints when it is imported, whatever is saved.
    with warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc
        from mlflow.models import Model

        mlflow.pyfunc.save_model(
            saved,
            python_model=CODE,
            code_paths=[str(package)],
            artifacts={MODEL_NAME: str(chosen)},
            signature=_signature(len(description.classes)),
            input_example=example,
            pip_requirements=_requirements(description.configuration),
            streamable=False,
            mlflow_model=Model(
                artifact_path=model.artifact_location, run_id=model.source_run_id, model_id=model.model_id
            ),
        )
    return saved


def _requirements(configuration: Mapping[str, Any]) -> list[str]:
    """List what loading the model needs, in the versions that are installed here."""
    is_from_hub = ".hub." in configuration["backbone"].get("constructor", "")
    backend = str(configuration.get("backend", "tensorflow"))
    names = (*REQUIREMENTS, backend, *(("keras-hub",) if is_from_hub else ()))
    return [f"{name}=={installed(name)}" if installed(name) else name for name in names]


def _signature(num_classes: int) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))
    return ModelSignature(Schema([images]), Schema([TensorSpec(np.dtype(np.float32), (-1, num_classes))]))


def registered_name(experiment: str) -> str:
    """Name the registered model after the MLflow experiment; a name may hold neither `/` nor `:`."""
    return experiment.strip("/").replace("/", "-").replace(":", "-")


def register_champion(connection: Connection, run_id: str, model_id: str, results_digest: str, card: str) -> None:
    """Give the alias `champion` to a logged model, registering it where its results are new.

    `results_digest` names what the chosen cell found; `card` (Markdown) becomes the version's description.
    """
    client, name = connection.client, registered_name(connection.experiment)
    registered = _registered_model(client, name)
    description = card[:MAX_DESCRIPTION_CHARACTERS]
    versions = client.search_model_versions(f"name = '{name}'")
    found = next((each for each in versions if each.tags.get(RESULTS_DIGEST) == results_digest), None)
    if found is None:
        found = client.create_model_version(
            name,
            # Not `models:/<id>`: MLflow would look it up in the store of its own global setting.
            source=client.get_logged_model(model_id).artifact_location,
            run_id=run_id,
            tags={RESULTS_DIGEST: results_digest},
            description=description,
            model_id=model_id,
        )
        # What a server does itself: the table of runs then names the version.
        shown = json.dumps([{"name": name, "version": int(found.version)}])
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": shown})
    elif found.description != description:
        client.update_model_version(name, found.version, description)
    if str(registered.aliases.get(CHAMPION)) != str(found.version):
        client.set_registered_model_alias(name, CHAMPION, found.version)


def _registered_model(client: "MlflowClient", name: str) -> "RegisteredModel":
    found = client.search_registered_models(f"name = '{name}'")
    if found:
        return found[0]
    about = f"Every model that a comparison chose, by validation; the last one is `models:/{name}@{CHAMPION}`."
    return client.create_registered_model(name, description=about)


def needed_modules() -> list[Path]:
    """Return the files of every module that the exported model imports, theirs in turn, and all that build backbones.

    The files are relative to the package, sorted.
    """
    starts = [PACKAGE / f"{START}.py", *(PACKAGE / WHOLE).glob("*.py")]
    found = frozenset[Path]().union(*map(imported_modules, starts))
    return sorted(file.relative_to(PACKAGE) for file in found)


def copy_modules(target: Path) -> None:
    """Copy them into a folder that becomes the package."""
    for file in needed_modules():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / file, target / file)
