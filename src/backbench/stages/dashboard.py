"""Put every cell's study into one SQLite file, for optuna-dashboard; no stage of DVC, and nothing depends on it."""

from collections.abc import Sequence

from backbench.results.result_files import read_best, read_trials
from backbench.runtime import paths
from backbench.runtime.atomic_files import replacing
from backbench.runtime.console import progress_bar
from backbench.runtime.paths import Cell
from backbench.search.dashboard import add_study, storage_url


def dashboard(cells: Sequence[Cell]) -> str:
    """Write `work/dashboard.db` anew from what the sweeps found, and return the line that says how to open it.

    Raises:
        ArtifactError: a cell was not searched yet; the file of an earlier call stays as it is.
    """
    with replacing(paths.DASHBOARD) as temporary, progress_bar("dashboard", len(cells), "studies") as advance:
        for cell in cells:
            add_study(temporary, cell, read_best(cell), read_trials(cell))
            advance(1, str(cell))
    return f"{len(cells)} studies; open them: optuna-dashboard {storage_url(paths.DASHBOARD)}"
