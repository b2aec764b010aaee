"""The SQLite file that MLflow keeps its runs in, created whole or not at all."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from backbench.runtime.atomic_files import put_in_place
from backbench.runtime.locks import file_lock


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a store's address, or None where the store is a server, another database or in memory."""
    path = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if uri.startswith("sqlite:///") and path not in ("", ":memory:") else None


def folder_refusal(uri: str) -> str | None:
    """Say what to do where an address names a folder of runs, which MLflow 3 refuses unless it is told to, or None."""
    if urlsplit(uri).scheme not in ("", "file") or uri == "databricks":
        return None
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return None
    return (
        "name a database, such as sqlite:///mlflow.db (`mlflow migrate-filestore`), or set MLFLOW_ALLOW_FILE_STORE=true"
    )


def create_store(path: Path) -> None:
    """Create the SQLite store whole or not at all: processes that meet in a fresh file break it.

    The lock, and what a killed creation leaves, lie in the folder of artifacts, which git ignores.
    """
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = artifact_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / f"{path.name}.lock"):
        if path.exists():
            return
        unfinished = folder / f"{path.name}.tmp"
        unfinished.unlink(missing_ok=True)
        print(f"creating the MLflow store {path.name}", flush=True)
        make: Any = SqlAlchemyStore  # untyped
        make(f"sqlite:///{unfinished}", str(folder)).engine.dispose()
        put_in_place(unfinished, path)


def artifact_folder(store: Path) -> Path:
    """Name the folder of artifacts that lies beside a store's file."""
    return (store.parent / "mlartifacts").resolve()
