"""What MLflow's client does not offer, and its stores do: creating one whole, and listing a run's artifacts.

A client makes the tables of a SQLite store at its first call, so that processes that meet in a fresh file break it.
And its `list_artifacts` looks, where a run has a model, in the store of MLflow's global setting and not in its own.

Checked with MLflow 3.17.2.
"""

from pathlib import Path
from typing import Any

from backbench.runtime.atomic_files import put_in_place
from backbench.runtime.locks import file_lock


def create_store(path: Path, artifacts: Path) -> None:
    """Create the SQLite store whole or not at all.

    The lock, and what a killed creation leaves, lie in the folder of artifacts, which git ignores.
    """
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    artifacts.mkdir(parents=True, exist_ok=True)
    with file_lock(artifacts / f"{path.name}.lock"):
        if path.exists():
            return
        unfinished = artifacts / f"{path.name}.tmp"
        unfinished.unlink(missing_ok=True)
        print(f"creating the MLflow store {path.name}", flush=True)
        make: Any = SqlAlchemyStore  # untyped
        make(f"sqlite:///{unfinished}", str(artifacts)).engine.dispose()
        put_in_place(unfinished, path)


def artifact_sizes(artifact_uri: str, store_uri: str, folder: str) -> dict[str, int]:
    """Return the bytes of each artifact in a folder of a run, by name; an empty folder is the run's own."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    found = get_artifact_repository(artifact_uri, tracking_uri=store_uri).list_artifacts(folder or None)
    return {Path(each.path).name: each.file_size for each in found}
