"""Arm `project`: this project's own stages, `embed` and `sweep`, in a working folder of their own."""

import contextlib
import shutil
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.tracking  # noqa: F401 - the sweep imports it when it begins; imports are not counted in any arm

from backbench.data.arrays.file_formats import read_csv
from backbench.runtime import paths
from backbench.runtime.paths import Cell
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from bench.rows import Measurement
from bench.start import config_from_start
from bench.studies import Study

STUDY = "study"
PLACE = "place-"


class Project:
    """Everything from the first graph to `best.yaml`: activations written and read, the study, MLflow."""

    def __init__(self, study: Study, folder: Path, search_changes: dict[str, Any]) -> None:
        config = config_from_start(study, folder)
        self._config = replace(config, search=replace(config.search, **search_changes))
        self._folder = folder
        for left in folder.glob(f"{PLACE}*"):  # by a benchmark that was killed
            shutil.rmtree(left)

    def measure(self, trial: str) -> list[Measurement]:
        """Run the whole study; its trials train together or in turn, so only the study's time is known."""
        assert trial == STUDY
        with TemporaryDirectory(prefix=PLACE, dir=self._folder) as place, contextlib.chdir(place):
            paths.DATASET.parent.mkdir(parents=True)
            paths.DATASET.symlink_to((self._folder / paths.DATASET).resolve(), target_is_directory=True)
            # By its whole path: MLflow keeps a store open by name, whatever the working folder has become.
            tracking = replace(self._config.tracking, uri=f"sqlite:///{Path.cwd() / 'mlflow.db'}")
            config = replace(self._config, tracking=tracking)
            started = time.perf_counter()
            embed([config])
            embedded = time.perf_counter()
            sweep(config)
            ended = time.perf_counter()
            trials = self._trials()
        best = min(trials, key=lambda row: (row.val_loss, int(row.trial)))
        whole = replace(best, trial=STUDY, seconds=ended - started)
        return [whole, Measurement(trial="embed", seconds=embedded - started), *trials]

    def _trials(self) -> list[Measurement]:
        cell = Cell(self._config.backbone.name, self._config.strategy.name)
        return [
            Measurement(
                trial=row["trial"],
                learning_rate=float(row["learning_rate"]),
                val_loss=float(row["val_loss"]),
                val_accuracy=float(row["val_accuracy"]),
            )
            for row in read_csv(cell.trials, made_by="sweep")
        ]
