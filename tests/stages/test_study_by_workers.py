"""A study ends in the same trials, whoever runs them and how many of them there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backbench.results.records import TrialRecord
from backbench.runtime.engine.engine import Run, Tasks, running
from backbench.search.search import Proposal
from tests.support.engine_workers import TWO_LOCAL, work_in
from tests.support.toy_study import SEARCHES, fit, searched, toy_study


@dataclass(frozen=True)
class AllTrials:
    """What a process opens to run the trials of every toy study, each kept in a folder of its name."""

    folder: Path

    def run_batch(
        self, name: str, batch: Sequence[Proposal], earlier: Sequence[TrialRecord], fold: int | None
    ) -> list[TrialRecord]:
        return toy_study(self.folder / name / "kept", SEARCHES[name]).run_batch(fit, batch, earlier)


def of_study(run: Run, name: str) -> Run:
    """Run the tasks of one study among those of others."""

    def of_this(tasks: Tasks) -> Iterator[tuple[str, Any]]:
        return run({task: (method, name, *arguments) for task, (method, *arguments) in tasks.items()})

    return of_this


@pytest.mark.parametrize(
    "num_workers", [pytest.param(1, marks=pytest.mark.system), 2, pytest.param(4, marks=pytest.mark.system)]
)
def test_a_study_is_the_same_by_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    alone = {name: searched(tmp_path / "alone" / name / "kept", search) for name, search in SEARCHES.items()}
    work_in(tmp_path, monkeypatch)
    workers = replace(TWO_LOCAL, num_workers=num_workers)
    with running("studies", workers, partial(AllTrials, tmp_path / "many")) as run:
        for name, search in SEARCHES.items():
            study = toy_study(tmp_path / "many" / name / "kept", search)
            found = study.search(of_study(run, name), lambda records: None)
            assert found.trials == alone[name].trials, name
            assert [trial.index for trial in found.trials] == list(range(search.num_trials))
