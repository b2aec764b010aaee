"""Bring the runs of a cell to what plain values say of them, live or afterwards from `results/`.

Every call may be repeated: what the store holds already is found by its tags and not written twice.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from backbench.runtime.web_address import without_secrets
from backbench.tracking.connection import Connection
from backbench.tracking.runs import KIND, RESULTS_DIGEST, CellRun, Child, code_tags, flattened, weights_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

CELL_KEY, CELL_NAME, PARENT = "backbench.cell_key", "backbench.cell", "mlflow.parentRunId"
OUTCOME_DIGEST, SUPERSEDED_BY = "backbench.outcome_digest", "backbench.superseded_by"
RUNNING, FINISHED = "RUNNING", "FINISHED"
# In place of a commit: files do not say which code wrote them.
FROM_RESULTS = {"backbench.recorded": "from results"}


class CellWriter:
    """Writes a parent run per cell, and child runs for its trials and seeds.

    A trial or a seed of another outcome than before gets a run of its own. The older one goes to MLflow's trash, tagged
    with the id of its successor.
    """

    def __init__(self, connection: Connection, code: Mapping[str, str] | None = None) -> None:
        """Write to an MLflow experiment; `code` are the `code_tags` of what computes, if not those at hand."""
        self._connection, self._client = connection, connection.client
        self._code = code_tags() if code is None else code

    def write(self, cell: CellRun) -> str:
        """Write what the store lacks of a cell, and return the id of its run.

        A cell that computes gets its children added, to the running parent of its key and parameters that a killed
        process or another stage left. A finished one takes that parent too, or is found by its results; it is left its
        children and no other, and ends.
        """
        is_finished = cell.results_digest is not None
        code = FROM_RESULTS if is_finished else self._code
        run = self._running(cell) or (self._finished(cell) if is_finished else None)
        if run is None:
            tags = {CELL_KEY: cell.key, CELL_NAME: cell.name, KIND: "cell", **code}
            run = self._connection.create(cell.name, tags)
        self._describe(run, cell, {} if is_finished else code)
        self._connection.attach(run, cell.files)
        others = self._write_children(run, cell, code)
        if is_finished:
            self._supersede(others, run)
        if is_finished and run.info.status == RUNNING:
            self._finish(run, cell)
        return str(run.info.run_id)

    def _running(self, cell: CellRun) -> "Run | None":
        """Find the running parent that may take these results, of which none are known yet while a cell computes."""
        expected = flattened(cell.parameters)
        for run in self._connection.search({CELL_KEY: cell.key}, status=RUNNING):
            is_free = run.data.tags.get(RESULTS_DIGEST) in (None, cell.results_digest)
            if is_free and all(expected.get(name, value) == value for name, value in run.data.params.items()):
                return run
        return None

    def _finished(self, cell: CellRun) -> "Run | None":
        found = self._connection.search({RESULTS_DIGEST: str(cell.results_digest)}, status=FINISHED)
        return found[0] if found else None

    def _describe(self, run: "Run", cell: CellRun, code: Mapping[str, str]) -> None:
        parameters, tags = flattened(cell.parameters), {**cell.tags, **code}
        if run.info.status == RUNNING and not parameters.items() <= run.data.params.items():
            text = without_secrets(OmegaConf.to_yaml(OmegaConf.create(dict(cell.parameters))))
            self._client.log_text(run.info.run_id, text, "configuration.yaml")
            self._connection.log_dataset(run, cell.parameters)
            self._connection.log(run, parameters=parameters)
        if not tags.items() <= run.data.tags.items():
            self._connection.log(run, tags=tags)

    def _write_children(self, parent: "Run", cell: CellRun, code: Mapping[str, str]) -> "list[Run]":
        """Write what lacks of a cell's children, and return the runs below its parent that are none of them."""
        below, shared = self._children(parent), {PARENT: parent.info.run_id, **weights_tags(cell.parameters), **code}
        for child in cell.children:
            there = below.pop((child.kind, str(child.index)), [])
            agreeing = [run for run in there if run.data.tags.get(OUTCOME_DIGEST) == child.outcome]
            own = {KIND: child.kind, f"backbench.{child.kind}": str(child.index), OUTCOME_DIGEST: child.outcome}
            run = agreeing[0] if agreeing else self._connection.create(child.name, {**shared, **own})
            self._complete(run, child)
            self._supersede((older for older in there if older not in agreeing), run)
        return list(chain.from_iterable(below.values()))

    def _children(self, parent: "Run") -> "dict[tuple[str, str], list[Run]]":
        """Return the runs of trials and seeds below a parent, by kind and index; what others put there stays away."""
        below: dict[tuple[str, str], list[Run]] = {}
        for run in self._connection.search({PARENT: parent.info.run_id}):
            if kind := run.data.tags.get(KIND):
                below.setdefault((kind, run.data.tags.get(f"backbench.{kind}", "")), []).append(run)
        return below

    def _complete(self, run: "Run", child: Child) -> None:
        if run.info.status == RUNNING:
            parameters = flattened(child.parameters)
            self._connection.log(run, parameters=parameters, metrics=child.metrics, curves=child.curves)
            self._client.set_terminated(run.info.run_id)

    def _finish(self, run: "Run", cell: CellRun) -> None:
        # First: a number that stands cannot be taken back, and so the run is good for no other results from here on.
        self._connection.log(run, tags={RESULTS_DIGEST: str(cell.results_digest)})
        self._connection.log(run, metrics=cell.metrics)
        self._client.set_terminated(run.info.run_id)
        # What a process left that was killed while it finished a parent.
        for half in self._connection.search({CELL_KEY: cell.key}, status=RUNNING):
            if RESULTS_DIGEST in half.data.tags:
                self._supersede([*chain.from_iterable(self._children(half).values()), half], run)

    def _supersede(self, runs: "Iterable[Run]", successor: "Run") -> None:
        for run in runs:
            self._client.set_tag(run.info.run_id, SUPERSEDED_BY, successor.info.run_id)
            self._client.delete_run(run.info.run_id)
