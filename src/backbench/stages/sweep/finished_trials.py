"""The finished trials of a cell, kept for a longer study: which positions of a study are known before it runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from backbench.config.search_config import SearchConfig
from backbench.data.arrays.file_formats import write_json
from backbench.results.compute import NOTHING, Compute, compute_of
from backbench.results.records import TrialRecord, fingerprint, trial_of
from backbench.runtime.atomic_files import remove_others
from backbench.runtime.known_files import known_json
from backbench.search.search import BOUNDARY, Proposal, batches, rounds


class FinishedTrials:
    """A folder with a file per batch: trials that train as one network share their sums, so they are known together.

    A batch is decided by what names the folder, by the parameters of its trials, and, where they may be pruned, by the
    pruner and by all trials of the rounds before, which it looks at. How many trials follow decides nothing.
    """

    def __init__(
        self,
        folder: Path,
        search: SearchConfig,
        *,
        prunes: bool,
        batch_size: int,
        computed: Callable[[], Mapping[int, Compute]],
    ) -> None:
        """Open what is kept.

        Args:
            folder: Named by all that decides a fit but its candidate.
            search: Of the study that is about to run.
            prunes: Trials of this cell may be pruned.
            batch_size: How many trials train at once.
            computed: Says what the batches took that this study ran, by their first positions.
        """
        self._folder, self._pruner = folder, search.pruner if prunes else None
        self._places = {
            position: (positions, batch)
            for positions in rounds(search, prunes=prunes)
            for batch in batches(positions, batch_size)
            for position in batch
        }
        self._records: dict[int, TrialRecord] = {}
        self._computed = computed
        self._compute: dict[int, Compute | None] = {}
        self.num_taken_up = 0

    def known(self, batch: Sequence[Proposal]) -> list[TrialRecord]:
        """Return the trials of a batch as an earlier study finished them; none where it is not known whole."""
        parameters = [{BOUNDARY: proposal.boundary, **proposal.parameters} for proposal in batch]
        stored = _kept(self._file(batch[0].position, parameters)).get("trials", [])
        self.num_taken_up += len(stored)
        return [replace(trial_of(each), index=of.position) for each, of in zip(stored, batch, strict=False)]

    def keep(self, record: TrialRecord) -> None:
        """Keep a finished trial of this study, as soon as its whole batch has finished; trials come by rounds."""
        self._records[record.index] = record
        _, batch = self._places[record.index]
        if all(position in self._records for position in batch):
            trials = [asdict(self._records[position]) for position in batch]
            names = (BOUNDARY, "learning_rate", "weight_decay")
            file = self._file(batch.start, [{name: trial[name] for name in names} for trial in trials])
            if kept := _kept(file):
                self._compute[batch.start] = compute_of(kept["compute"])
                return
            compute = self._compute[batch.start] = self._computed().get(batch.start)
            if compute is not None:
                write_json(file, {"trials": trials, "compute": asdict(compute)})

    @property
    def compute(self) -> Compute | None:
        """What the trials of this study took, wherever and whenever they were run; None where that is not known."""
        parts = [part for part in self._compute.values() if part is not None]
        return sum(parts, NOTHING) if len(parts) == len(self._compute) else None

    def forget_others(self) -> None:
        """Remove what other data, weights, settings or code left of this cell."""
        remove_others(self._folder.parent, [self._folder.name])

    def _file(self, position: int, parameters: Sequence[Mapping[str, Any]]) -> Path:
        seen: tuple[Any, ...] = ()
        if self._pruner is not None:
            positions, _ = self._places[position]
            seen = asdict(self._pruner), [asdict(self._records[earlier]) for earlier in range(positions.start)]
        return self._folder / f"{fingerprint(parameters, seen)}.json"


def _kept(file: Path) -> dict[str, Any]:
    """Read the trials of a batch and what they took; nothing where both are not there."""
    content = known_json(file)
    return content if {"trials", "compute"} <= content.keys() else {}
