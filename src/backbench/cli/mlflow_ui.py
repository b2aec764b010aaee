"""Open MLflow's UI on a store, or say where a server already shows it: `make ui`."""

import os
import sys
from urllib.parse import urlsplit

from backbench.cli.entry import quiet_libraries, refusing
from backbench.runtime.errors import TrackingError
from backbench.runtime.web_address import public_url, without_secrets
from backbench.tracking.store_address import folder_refusal, sqlite_file, store_uri

DEFAULT = "sqlite:///mlflow.db"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def address_to_open(uri: str) -> str | None:
    """Return where a store's own server shows it, without secrets; None where the UI has to be started.

    Raises:
        TrackingError: there is no such store, or none that a UI could be started on.
    """
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in ("http", "https"):
        return public_url(uri)
    if "databricks" in (scheme, uri):
        return "your Databricks workspace, under Experiments"
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise TrackingError(f"expected the MLflow store {file}, found none; `make repro` or `make report` writes it")
    advice = folder_refusal(uri)
    if advice is not None:
        raise TrackingError(
            f"expected an MLflow store in a database, found the folder {without_secrets(uri)}; {advice}"
        )
    if scheme in ("", "file", *DATABASES):
        return None
    raise TrackingError(
        f"expected the address of an MLflow store, found {without_secrets(uri)}; see MLFLOW_TRACKING_URI"
    )


def main() -> None:
    uri = store_uri(DEFAULT)
    quiet_libraries()
    with refusing():
        address = address_to_open(uri)
    if address is not None:
        print(f"MLFLOW_TRACKING_URI names a server, which shows its runs itself; open {address}")
        return
    # In the environment, since every user of a machine can read command lines, and so a password.
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    sys.stdout.flush()
    os.execvpe(sys.executable, [sys.executable, "-m", "mlflow", "ui"], environment)


if __name__ == "__main__":
    main()
