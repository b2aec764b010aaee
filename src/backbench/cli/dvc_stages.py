"""Run stages of dvc.yaml and print what they print.

`python -m backbench.cli.dvc_stages [--alone] [--force] [STAGE …]`
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from dvc.exceptions import DvcException

from backbench.compat.dvc_stages import exit_status, failed_stage, opened_repository, speak_of_stages_alone
from backbench.runtime.errors import causes

FAILED = "failed: "


def is_up_to_date() -> bool:
    """Say whether no stage would run."""
    speak_of_stages_alone()
    with opened_repository() as repo:
        return not repo.status()


def reproduce(targets: Sequence[str], *, alone: bool, force: bool) -> str | None:
    """Run stages one after another; None where all ran, else the first that failed and how, as its user should read it.

    Args:
        targets: Names of stages; none is all of dvc.yaml.
        alone: Run no stage that one of them depends on.
        force: Run them though nothing changed.
    """
    with opened_repository() as repo:
        for target in targets or (None,):
            try:
                repo.reproduce(target, single_item=alone, force=force)
            except DvcException as error:
                return _told(target, error)
    return None


def _told(target: str | None, error: DvcException) -> str:
    status = exit_status(error)
    if status is not None:
        return f"{target or failed_stage(error)}{_killed_by(status)}"
    return f"{target or 'dvc.yaml'}: {'; '.join(' '.join(str(cause).split()) for cause in causes(error))}"


def _killed_by(status: int) -> str:
    """Name the signal that ended a stage: it has left no word of its own."""
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
