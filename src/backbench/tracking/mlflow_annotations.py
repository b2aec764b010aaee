"""What a comparison adds to runs that are there, files, notes and tags; and the comparison's own run."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from backbench.results.records import BestRecord
from backbench.runtime.digests import file_sha256
from backbench.tracking.mlflow_connection import Connection, repeated_once
from backbench.tracking.runs import bounded, cell_parameters, code_tags, dataset_input

NOTE = "mlflow.note.content"
FILE_DIGEST = "backbench.sha256"
RESULTS_DIGEST = "backbench.results_digest"


class Annotator:
    """Every call may be repeated; every method raises TrackingError when the store fails twice."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self.uri_shown = connection.uri_shown

    @repeated_once
    def attach(self, run_id: str, folder: str, paths: Sequence[Path]) -> None:
        """Put files into a folder of a run's artifacts, but those that lie there already, with the same content."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run = self._client.get_run(run_id)
        # Not the client's `list_artifacts`: where a run has a model, it looks in the store of MLflow's global setting.
        uri = run.info.artifact_uri
        listed = get_artifact_repository(uri, tracking_uri=self._connection.uri).list_artifacts(folder or None)
        there = {Path(each.path).name: each.file_size for each in listed}
        for path in paths:
            # An artifact has no digest in MLflow, and files of one size differ: a report that names another commit.
            tag, digest = "/".join(filter(None, (FILE_DIGEST, folder, path.name))), file_sha256(path)
            if there.get(path.name) != path.stat().st_size or run.data.tags.get(tag) != digest:
                self._client.log_artifact(run_id, str(path), folder or None)
                self._client.set_tag(run_id, tag, digest)

    @repeated_once
    def describe(self, run_id: str, note: str, tags: Mapping[str, str]) -> None:
        """Give a run its note, in Markdown, and tags whose names get `backbench.` in front."""
        named = {f"backbench.{name}": value for name, value in tags.items()}
        self._connection.log(self._client.get_run(run_id), tags={**named, NOTE: bounded(note)})

    @repeated_once
    def describe_experiment(self, note: str) -> None:
        """Give the MLflow experiment its note, in Markdown, and let the UI show what is for models that train."""
        for name, value in {NOTE: bounded(note), "mlflow.experimentKind": "custom_model_development"}.items():
            self._client.set_experiment_tag(self._connection.experiment_id, name, value)

    @repeated_once
    def forget_tags(self, *names: str, unless: Collection[str]) -> None:
        """Take tags from the parents of an earlier comparison.

        Args:
            names: Without `backbench.` in front.
            unless: The runs that keep them.
        """
        for run in self._connection.search(kind="cell"):
            if run.info.run_id not in unless:
                for name in {f"backbench.{name}" for name in names} & run.data.tags.keys():
                    self._client.delete_tag(run.info.run_id, name)

    @repeated_once
    def log_comparison(self, digest: str, name: str, of: BestRecord, metrics: Mapping[str, float]) -> str:
        """Find or create the run of a comparison, finished; one per digest of what was compared.

        Args:
            digest: Names all results.
            name: Shown as the run's name.
            of: One of the cells, for the data set that all share.
            metrics: The comparison's own numbers.

        Returns:
            The run's id.
        """
        found = self._connection.search(kind="comparison", results_digest=digest)
        tags = {"backbench.kind": "comparison", RESULTS_DIGEST: digest, **code_tags()}
        run = found[0] if found else self._client.create_run(self._connection.experiment_id, tags=tags, run_name=name)
        self._connection.log(run, metrics=metrics)
        dataset = dataset_input(cell_parameters(of.configuration, of.digests))
        self._connection.log_dataset(run, dataset)
        self._client.set_terminated(run.info.run_id)
        return str(run.info.run_id)
