"""The one base error. An entry point turns it into one line and exit code 2."""

import sys
from collections.abc import Iterator


class BackbenchError(Exception):
    """A user's mistake: the message says what was expected, what was found, and what to do.

    Several mistakes at once are several arguments.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each mistake."""
        return tuple(" ".join(str(mistake).split()) for mistake in self.args)

    def __str__(self) -> str:
        return " | ".join(map(str, self.args))


class ConfigError(BackbenchError):
    """The configuration has unknown or missing keys, wrong types or impossible values."""


class DatasetError(BackbenchError):
    """The images cannot be used as they are."""


class WeightsError(BackbenchError):
    """Pretrained weights are missing, or are not the pinned ones."""


class DownloadError(BackbenchError):
    """A file cannot be fetched, or what came is not the pinned file."""


class BoundaryError(BackbenchError):
    """The model cannot be cut where the configuration asks."""


class ActivationError(BackbenchError):
    """Activations cannot be stored as the configuration asks."""


class ArtifactError(BackbenchError):
    """A file that an earlier stage writes is missing or not readable."""


class MemoryLimitError(BackbenchError):
    """What is asked for does not fit into the memory that is there."""


class WorkerError(BackbenchError):
    """Workers cannot be started, or cannot run a task."""


class TrackingError(BackbenchError):
    """The MLflow store cannot be reached, or refuses what is written."""


class StoreAwayError(TrackingError):
    """The MLflow store cannot be reached now, and may be back later: what was refused can be repeated then."""


class DivergedError(BackbenchError):
    """Training ended in losses that are not finite, and there is nothing else to choose from."""


def tell(*mistakes: object) -> None:
    """Print a user's mistakes to standard error, a line each."""
    for mistake in mistakes:
        print(f"error: {' '.join(str(mistake).split())}", file=sys.stderr)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
