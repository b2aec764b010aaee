"""What the configuration says of who runs tasks and where runs are recorded. No result depends on it."""

import shlex
from typing import Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from backbench.config.value_types import STRICT, Count, Name, NotNegative, Positive, Text, together
from backbench.runtime.engine.workers import WORKER, Workers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorkersConfig(Workers):
    """Who runs the tasks of a stage (conf/workers), held to its types; no result depends on it.

    Unless a worker runs out of memory: its later trials begin with the batch that fitted.
    """

    name: Name
    start: Text | None = None
    num_workers: Count = 1
    scheduler: Text | None = None
    host: Text | None = None
    lost_after_seconds: Positive = 60.0
    dashboard_port: Count | None = None

    @model_validator(mode="after")
    def _can_be_started(self) -> Self:
        together(
            (
                self.start is not None and not _runs_a_worker(self.start),
                f"start: expected the command that runs one worker, with {WORKER} for the worker's own, and every "
                f"quote closed, found {self.start!r}",
            ),
            (
                self.start is not None and self.scheduler is not None,
                f"start: expected null where scheduler names one that runs already, found {self.start!r}",
            ),
            (
                self.is_this_process and self.num_workers > 1,
                f"num_workers: expected 1 where nothing starts workers, found {self.num_workers}; set start, or, "
                "where somebody else starts them, write `scheduler: work/cluster` as conf/workers/address.yaml does",
            ),
        )
        return self


def _runs_a_worker(start: str) -> bool:
    try:
        return any(WORKER in word for word in shlex.split(start))
    except ValueError:  # a quote is open
        return False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingConfig:
    """Where MLflow records; the environment variable MLFLOW_TRACKING_URI wins over `uri`.

    `models` says whose models `compare` logs, as files of all their weights; only a logged champion is registered.
    `patience_seconds` is how long the end of a stage waits for a store that is away.
    """

    uri: Text
    experiment: Text
    patience_seconds: NotNegative = 600.0
    models: Literal["every_cell", "champion", "none"] = "every_cell"
