"""What the address of an MLflow store says before anything is connected to; nothing here imports MLflow."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from backbench.runtime.web_address import public_url, without_secrets


def store_uri(configured: str) -> str:
    """Return the address of the store: the environment variable MLFLOW_TRACKING_URI wins."""
    return os.environ.get("MLFLOW_TRACKING_URI") or configured


def store_shown(configured: str) -> str:
    """Return the address of the store as it may be shown, without secrets."""
    return without_secrets(store_uri(configured))


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a store's address, or None where the store is a server, another database or in memory."""
    path = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if uri.startswith("sqlite:///") and path not in ("", ":memory:") else None


def artifact_folder(store: Path) -> Path:
    """Name the folder of artifacts that lies beside a store's file."""
    return (store.parent / "mlartifacts").resolve()


def folder_refusal(uri: str) -> str | None:
    """Say what to do where an address names a folder of runs, which MLflow 3 refuses unless it is told to, or None."""
    if urlsplit(uri).scheme not in ("", "file") or uri == "databricks":
        return None
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return None
    return (
        "name a database, such as sqlite:///mlflow.db (`mlflow migrate-filestore`), or set MLFLOW_ALLOW_FILE_STORE=true"
    )


def unreachable_artifacts(uri: str, location: str) -> str | None:
    """Say what to do where a server hands out a folder of its own that is none on this machine, or return None.

    `location` is where the artifacts of an MLflow experiment go, as the store says.
    """
    parts = urlsplit(location)
    if not uri.startswith(("http://", "https://")) or parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path))
    # MLflow would make the folder, here, where the server never looks.
    place = next((each for each in (folder, folder.parent) if each.is_dir()), None)
    if place is not None and os.access(place, os.W_OK):
        return None
    return (
        f"expected {public_url(uri)} to take files, found that it hands out {location}, a path of its own that is "
        f"closed to this machine; start it with --serve-artifacts and name a new experiment in conf/tracking, or "
        f"make {folder.parent} a folder that the server and this machine share"
    )
