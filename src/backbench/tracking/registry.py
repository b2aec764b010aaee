"""The chosen model in MLflow's registry: one registered model per MLflow experiment, the last choice under an alias."""

import json
from typing import TYPE_CHECKING

from backbench.tracking.connection import Connection
from backbench.tracking.runs import RESULTS_DIGEST

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"
MAX_DESCRIPTION_CHARACTERS = 5000  # of the registry's tables


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
