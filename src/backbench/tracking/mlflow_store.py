"""The address of a store: the SQLite file that it names, and the folder of artifacts beside it."""

import os
from pathlib import Path
from urllib.parse import urlsplit


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


def artifact_folder(store: Path) -> Path:
    """Name the folder of artifacts that lies beside a store's file."""
    return (store.parent / "mlartifacts").resolve()
