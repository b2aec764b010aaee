"""Run stages of dvc.yaml and print what they print: `python -m backbench.cli.dvc_stages [--alone] [--force] [STAGE …]`.

DVC's own command prints, around every stage, what it is about to do and what could be done next.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.exceptions import StageCmdFailedError

from backbench.runtime.errors import causes

FAILED = "failed: "


def speak_of_stages_alone() -> None:
    """Let DVC name each stage that it runs, and warn; nothing else."""
    logging.getLogger("dvc").setLevel(logging.WARNING)
    running = logging.getLogger("dvc.stage.run")
    running.setLevel(logging.INFO)
    running.addFilter(lambda record: str(record.msg).startswith("Running stage"))


def is_up_to_date() -> bool:
    """Say whether no stage would run."""
    speak_of_stages_alone()
    with Repo(_wait_for_lock=True) as repo:
        return not repo.status()


def reproduce(targets: Sequence[str], *, alone: bool, force: bool) -> str | None:
    """Run stages one after another; None where all ran, else the first that failed and how, as its user should read it.

    Args:
        targets: Names of stages; none is all of dvc.yaml.
        alone: Run no stage that one of them depends on.
        force: Run them though nothing changed.
    """
    with Repo(_wait_for_lock=True) as repo:
        for target in targets or (None,):
            try:
                repo.reproduce(target, single_item=alone, force=force)
            except DvcException as error:
                return _told(target, error)
    return None


def _told(target: str | None, error: DvcException) -> str:
    chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, StageCmdFailedError):
            return f"{target or _stage_of(error)}{_killed_by(cause)}"
    return f"{target or 'dvc.yaml'}: {'; '.join(' '.join(str(cause).split()) for cause in chain)}"


def _stage_of(error: DvcException) -> str:
    """Return the stage that DVC names: `failed to reproduce 'embed@…'`."""
    return str(error).rpartition(" ")[2].strip("'")


def _killed_by(error: StageCmdFailedError) -> str:
    """Name the signal that ended a stage: it has left no word of its own."""
    status = int(str(error).rpartition(" ")[2])
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return ""
    advice = ", as Linux does where memory is full: run fewer cells at once" if number == signal.SIGKILL else ""
    return f" was ended by {signal.Signals(number).name}{advice}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m backbench.cli.dvc_stages")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("stages", nargs="*")
    given = parser.parse_args(arguments)
    speak_of_stages_alone()
    failed = reproduce(given.stages, alone=given.alone, force=given.force)
    if failed is None:
        return 0
    print(f"{FAILED}{failed}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
