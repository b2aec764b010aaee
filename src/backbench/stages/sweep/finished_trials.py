"""The finished trials of a cell, kept by all that decides them: for a killed study, a longer one, a task run twice."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from backbench.config.search_config import PrunerConfig
from backbench.data.arrays.file_formats import write_json
from backbench.results.compute import Compute, add_left, compute_of, left_before
from backbench.results.records import TrialRecord, fingerprint, trial_of
from backbench.runtime.known_files import known_json
from backbench.search.search import BOUNDARY, Proposal


class FinishedTrials:
    """A folder with a file per batch: trials that train as one network share their sums, so they are known together.

    A batch is decided by what names the folder, by the parameters of its trials, and, where they may be pruned, by the
    pruner and by all trials of the rounds before, which it looks at. How many trials follow decides nothing, nor does
    who ran them: a batch that two processes ran, each for itself, is the same file.
    """

    def __init__(self, folder: Path, pruner: PrunerConfig | None) -> None:
        """Open what is kept in a folder that is named by all that decides a fit but its hyperparameters."""
        self._folder, self._pruner = folder, pruner

    def known(self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Return the trials of a batch as they ended, in its order; none where it is not known whole."""
        stored = self._kept(batch, earlier).get("trials", [])
        return [replace(trial_of(each), index=of.position) for each, of in zip(stored, batch, strict=False)]

    def compute(self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord]) -> Compute:
        """Return what a known batch took, wherever and whenever it was run."""
        return compute_of(self._kept(batch, earlier)["compute"])

    def keep(
        self,
        batch: Sequence[Proposal],
        earlier: Sequence[TrialRecord],
        records: Sequence[TrialRecord],
        compute: Compute,
    ) -> None:
        """Keep the trials of a batch, and what they took, with what those took who left it before its end."""
        left = self._left(batch, earlier)
        took = left_before(left) + compute
        content = {"trials": [asdict(record) for record in records], "compute": asdict(took)}
        write_json(self._file(batch, earlier), content)
        left.unlink(missing_ok=True)

    def leave(self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord], compute: Compute) -> None:
        """Keep what a batch took that is left before its end."""
        add_left(self._left(batch, earlier), compute)

    def _kept(self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord]) -> dict[str, Any]:
        """Read the trials of a batch and what they took; nothing where both are not there."""
        content = known_json(self._file(batch, earlier))
        return content if {"trials", "compute"} <= content.keys() else {}

    def _file(self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord]) -> Path:
        parameters = [{BOUNDARY: proposal.boundary, **proposal.parameters} for proposal in batch]
        seen = () if self._pruner is None else (asdict(self._pruner), [asdict(record) for record in earlier])
        return self._folder / f"{fingerprint(parameters, seen)}.json"

    def _left(self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord]) -> Path:
        return self._file(batch, earlier).with_suffix(".left.json")
