"""One thing that was looked at, and whether a run can go on with it."""

from dataclasses import dataclass
from enum import StrEnum

from backbench.runtime.errors import BackbenchError


class Verdict(StrEnum):
    """`missing` stops a run of the present benchmark; `warning` does not."""

    READY = "ready"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to do where that is not all that was wanted."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def ready(what: str, found: str) -> Finding:
    return Finding(what, Verdict.READY, found)


def warning(what: str, found: str, advice: str) -> Finding:
    return Finding(what, Verdict.WARNING, found, advice)


def missing(what: str, found: str, advice: str) -> Finding:
    return Finding(what, Verdict.MISSING, found, advice)


def missing_by(what: str, error: BackbenchError) -> Finding:
    """Tell what a stage would end with: every message says last, after its last semicolon, what to do."""
    found, _, advice = " ".join(str(error).split()).rpartition("; ")
    return missing(what, found, advice) if found else missing(what, advice, "correct it")
