"""What the configuration says of who runs trials and where runs are recorded. No result depends on it."""

from typing import Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from backbench.config.value_types import STRICT, Count, Name, NotNegative, Positive, Text, together

Storage = Literal["journal", "sqlite", "postgresql"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorkersConfig:
    """Who runs the trials of a cell, and through which storage they share its study.

    No result depends on it, unless a worker runs out of memory: its later trials begin with the batch that fitted.

    `launcher` names one of conf/hydra/launcher/; null with one worker is the stage's own process, and with several says
    that somebody else starts them. `storage` is a file, or PostgreSQL, whose address is in the environment variable
    BACKBENCH_STUDIES, for it may hold a password.
    A worker says that it lives every `heartbeat_seconds`; where nothing was heard for `lost_after_seconds`, its trial
    is run again. While the storage is away, all wait for `patience_seconds`.
    """

    name: Name
    num_workers: Count = 1
    launcher: Name | None = None
    storage: Storage = "journal"
    heartbeat_seconds: Positive = 10.0
    lost_after_seconds: Positive = 60.0
    patience_seconds: NotNegative = 600.0

    @model_validator(mode="after")
    def _can_be_heard(self) -> Self:
        together(
            (
                self.lost_after_seconds <= self.heartbeat_seconds,
                f"lost_after_seconds: expected more than heartbeat_seconds {self.heartbeat_seconds:g}, or every worker "
                f"is taken for lost, found {self.lost_after_seconds:g}",
            )
        )
        return self


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
