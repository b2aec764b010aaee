"""The chosen model in MLflow's registry: one registered model per MLflow experiment, the last choice under an alias."""

import json
from typing import TYPE_CHECKING

from backbench.tracking.mlflow_connection import Connection, repeated_once

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION = "champion"
RESULTS_DIGEST = "backbench.results_digest"
MAX_DESCRIPTION_CHARACTERS = 5000  # of the registry's tables


def registered_name(experiment: str) -> str:
    """Name the registered model after the MLflow experiment; a name may hold neither `/` nor `:`."""
    return experiment.strip("/").replace("/", "-").replace(":", "-")


class Registry:
    """Registers what was chosen; it is known by its results, so that the same one is never registered twice."""

    def __init__(self, connection: Connection) -> None:
        self._client = connection.client
        self.uri_shown = connection.uri_shown
        self.name = registered_name(connection.experiment)

    @repeated_once
    def crown(self, *, run_id: str, model_id: str, results_digest: str, card: str) -> str:
        """Give the alias `champion` to a logged model, registering it where its results are new.

        Args:
            run_id: The chosen cell's run.
            model_id: The model that this run logged.
            results_digest: Names what the chosen cell found.
            card: Markdown; becomes the version's description.

        Returns:
            The version.

        Raises:
            TrackingError: the store fails twice.
        """
        registered = self._registered()
        description = card[:MAX_DESCRIPTION_CHARACTERS]
        found = self._version_of(results_digest)
        if found is None:
            found = self._client.create_model_version(
                self.name,
                # Not `models:/<id>`: MLflow would look it up in the store of its own global setting.
                source=self._client.get_logged_model(model_id).artifact_location,
                run_id=run_id,
                tags={RESULTS_DIGEST: results_digest},
                description=description,
                model_id=model_id,
            )
            # What a server does itself: the table of runs then names the version.
            versions = [{"name": self.name, "version": int(found.version)}]
            self._client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps(versions)})
        elif found.description != description:
            self._client.update_model_version(self.name, found.version, description)
        if str(registered.aliases.get(CHAMPION)) != str(found.version):
            self._client.set_registered_model_alias(self.name, CHAMPION, found.version)
        return str(found.version)

    def _registered(self) -> "RegisteredModel":
        found = self._client.search_registered_models(f"name = '{self.name}'")
        if found:
            return found[0]
        about = f"Every model that a comparison chose, by validation; the last one is `models:/{self.name}@{CHAMPION}`."
        return self._client.create_registered_model(self.name, description=about)

    def _version_of(self, results_digest: str) -> "ModelVersion | None":
        versions = self._client.search_model_versions(f"name = '{self.name}'")
        return next((each for each in versions if each.tags.get(RESULTS_DIGEST) == results_digest), None)
