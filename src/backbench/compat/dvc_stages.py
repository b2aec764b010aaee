"""DVC as a library, to run the stages of dvc.yaml.

DVC's own command prints, around every stage, what it is about to do and what could be done next. Its class `Repo` is no
public interface: how to wait for its lock, the names of its loggers and the words of its errors, which alone say which
stage failed and with which code, may change with any version.

Checked with DVC 3.67.1.
"""

import logging

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.exceptions import StageCmdFailedError

from backbench.runtime.errors import causes


def opened_repository() -> Repo:
    """Open the repository that this folder is in, for a `with` statement, and wait where another process locks it."""
    return Repo(_wait_for_lock=True)


def speak_of_stages_alone() -> None:
    """Let DVC name each stage that it runs, and warn; nothing else."""
    logging.getLogger("dvc").setLevel(logging.WARNING)
    running = logging.getLogger("dvc.stage.run")
    running.setLevel(logging.INFO)
    running.addFilter(lambda record: str(record.msg).startswith("Running stage"))


def failed_stage(error: DvcException) -> str:
    """Return the stage that DVC names: `failed to reproduce 'embed@…'`."""
    return str(error).rpartition(" ")[2].strip("'")


def exit_status(error: DvcException) -> int | None:
    """Return what the command of a stage ended with; None where the error is about something else."""
    of_command = next((cause for cause in causes(error) if isinstance(cause, StageCmdFailedError)), None)
    return None if of_command is None else int(str(of_command).rpartition(" ")[2])
