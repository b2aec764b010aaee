"""What every test of a fault says of itself, for the table of docs/reliability.md."""

import json
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Protocol

import pytest

from tests.support.workplace import finished, finished_cells, prepared, workplace

__all__ = ["finished", "finished_cells", "prepared", "workplace"]


class Tried(Protocol):
    """Records a fault that was tried, what it was compared by, and what was lost; fails where anything was."""

    def __call__(self, fault: str, *, how: str, times: int, lost: Collection[str]) -> None: ...


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Tried:
    def tried(fault: str, *, how: str, times: int, lost: Collection[str]) -> None:
        record_property("fault", json.dumps({"fault": fault, "how": how, "times": times, "lost": sorted(lost)}))
        assert not lost

    return tried


def differing(expected: Mapping[str, Hashable], found: Mapping[str, Hashable]) -> list[str]:
    """Name what is missing, is more, or is another than it would be undisturbed."""
    return [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
