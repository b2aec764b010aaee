"""What a run writes its history to: git, DVC and MLflow's store; nothing is connected to."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from backbench.cli.doctor.finding import Finding, missing, ready, warning
from backbench.config.running_config import TrackingConfig
from backbench.runtime.environment import GitError, git
from backbench.runtime.installation import installed
from backbench.runtime.web_address import without_secrets
from backbench.tracking.store_address import folder_refusal, sqlite_file, store_uri

SERVERS = ("http", "https", "postgresql", "mysql", "mssql", "databricks")


def bookkeeping_findings(tracking: TrackingConfig) -> Iterator[Finding]:
    """Look at git, DVC and the store."""
    yield _git()
    yield _dvc()
    yield _store(store_uri(tracking.uri))


def _git() -> Finding:
    try:
        git("rev-parse", "HEAD:./")
        changed = git("status", "--porcelain", "--", ".").splitlines()
    except GitError as error:
        return warning("git", *error.args)
    if changed:
        found = f"{len(changed)} files are not committed, such as {changed[0].split(maxsplit=1)[1]}"
        return warning("git", found, "commit them, so that the commit that a run names is what ran")
    return ready("git", "nothing is uncommitted")


def _dvc() -> Finding:
    version = installed("dvc")
    if version is None:
        return missing("DVC", "not installed", "run `make .venv/ready`")
    if not Path(".dvc").is_dir():
        return missing("DVC", "expected the folder .dvc, found none", "run it in the project's folder, or `dvc init`")
    if shutil.which("dvc") is None:
        return ready("DVC", f"{version}; not on the PATH, so use make, or activate .venv")
    return ready("DVC", version)


def _store(uri: str) -> Finding:
    shown = without_secrets(uri)
    file = sqlite_file(uri)
    if file is not None:
        return _sqlite(file)
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme in SERVERS or uri == "databricks":
        if uri == "databricks" or parts.hostname or scheme == "databricks":
            return ready(
                "MLflow store", f"{shown} (not connected to: what it refuses, a stage says before it computes)"
            )
        return missing("MLflow store", f"{shown} names no host", "correct MLFLOW_TRACKING_URI")
    advice = folder_refusal(uri)
    if advice is not None:
        return missing("MLflow store", f"the folder {parts.path or shown}, which MLflow no longer writes to", advice)
    if scheme in ("", "file"):
        return ready("MLflow store", f"the folder {parts.path or shown}")
    return warning("MLflow store", f"{shown} is of no kind that is known here", "see MLflow's documentation")


def _sqlite(file: Path) -> Finding:
    if not file.exists():
        if os.access(file.parent, os.W_OK):
            return ready("MLflow store", f"{file} will be made")
        return missing("MLflow store", f"{file.parent} cannot be written to", "correct MLFLOW_TRACKING_URI")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.Error as error:
        return missing("MLflow store", f"{file} is no readable SQLite file ({error})", "move it away")
    return ready("MLflow store", str(file))
