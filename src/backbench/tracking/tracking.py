"""Record cells, trials and seeds in MLflow as runs, live or afterwards from `results/`.

Every call may be repeated: what the store holds already is found by its tags and not written twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import OmegaConf

from backbench.config.config import TrackingConfig
from backbench.results.records import CellRecord, EpochRecord, results_digest
from backbench.runtime.errors import TrackingError
from backbench.runtime.web_address import without_secrets
from backbench.tracking.mlflow_connection import Connection, repeated_once
from backbench.tracking.runs import (
    Child,
    cell_metrics,
    cell_parameters,
    cell_tags,
    children_of,
    code_tags,
    dataset_input,
    epoch_curves,
    flattened,
    weights_tags,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Tracker", "TrackingError"]

CELL_KEY, CELL_NAME, KIND = "backbench.cell_key", "backbench.cell", "backbench.kind"
RESULTS_DIGEST, OUTCOME_DIGEST = "backbench.results_digest", "backbench.outcome_digest"
SUPERSEDED_BY = "backbench.superseded_by"
PRETRAINING_KEY = "backbench.pretraining_key"
PARENT = "mlflow.parentRunId"
WEIGHTS_TAGS = "backbench.weights_"
# In place of a commit: files do not say which code wrote them.
FROM_RESULTS = {"backbench.recorded": "from results"}


class Tracker:
    """One MLflow experiment: a parent run per cell, child runs for its trials and seeds.

    A trial or a seed that is logged with another outcome than before gets a run of its own. The older one goes to
    MLflow's trash, tagged with the id of its successor. Every method raises TrackingError when the store fails twice.
    """

    def __init__(self, config: TrackingConfig, code: Mapping[str, str] | None = None) -> None:
        """Open the store, creating it and the MLflow experiment where they lack.

        Args:
            config: Which store.
            code: As `code_tags` names the code that makes what is logged live; without it, the code at hand.
        """
        self._code = code_tags() if code is None else code
        self.connection = Connection(config)
        self.uri_shown = self.connection.uri_shown
        self._client, self._experiment_id = self.connection.client, self.connection.experiment_id
        self._log = self.connection.log
        self._weights_of = cache(self._weights_tags)  # children are many

    @repeated_once
    def begin_cell(self, cell_key: str, cell_name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Resume the cell's running parent, after a kill or from another stage, or create one.

        Args:
            cell_key: Names the cell's inputs; a running parent of that key and these parameters is resumed.
            cell_name: Shown as the run's name.
            parameters: Best made by `cell_parameters`; may be nested.
            tags: Further labels.

        Returns:
            The parent's run id.
        """
        parent = self._running(cell_key, parameters) or self._created_cell(cell_key, cell_name)
        self._describe(parent, parameters, {**tags, **self._code})
        return str(parent.info.run_id)

    @repeated_once
    def log_trial(
        self,
        parent_id: str,
        index: int,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[EpochRecord],
    ) -> None:
        """Record a finished trial once; repeat it freely. Epoch curves are named `epoch/…`."""
        self._log_child(
            parent_id,
            Child(kind="trial", index=index, parameters=parameters, metrics=metrics, history=history),
            self._code,
        )

    @repeated_once
    def log_seed(self, parent_id: str, seed: int, metrics: Mapping[str, float], history: Sequence[EpochRecord]) -> None:
        """Record a final model once; repeat it freely. Epoch curves are named `epoch/…`."""
        self._log_child(
            parent_id,
            Child(kind="seed", index=seed, parameters={"seed": seed}, metrics=metrics, history=history),
            self._code,
        )

    @repeated_once
    def finish_cell(
        self, parent_id: str, metrics: Mapping[str, float], tags: Mapping[str, str], results_digest: str
    ) -> None:
        """Put mean and standard deviation on the parent and finish it; best made by `cell_metrics`, `cell_tags`."""
        run = self._client.get_run(parent_id)
        # First: a number that stands cannot be taken back, and so the run is good for no other results from here on.
        self._log(run, tags={RESULTS_DIGEST: results_digest})
        self._log(run, metrics=metrics, tags=tags)
        self._client.set_terminated(parent_id)
        self._supersede_half_finished(run.data.tags[CELL_KEY], parent_id)

    @repeated_once
    def find_finished(self, results_digest: str) -> str | None:
        """Return the run id of a finished parent with exactly these results, or None."""
        found = self.connection.search_where(
            f"tags.`{RESULTS_DIGEST}` = '{results_digest}' and attributes.status = 'FINISHED'"
        )
        return str(found[0].info.run_id) if found else None

    @repeated_once
    def publish(self, record: CellRecord) -> str | None:
        """Create what the store lacks of a finished cell, so that live logging and this show the same tables.

        Returns:
            The parent's run id, or None where nothing lacked.
        """
        digest, best = results_digest(record), record.best
        parameters = cell_parameters(best.configuration, best.digests)
        running = self._running(best.cell_key, parameters, digest)
        finished = None if running else self.find_finished(digest)
        if running is not None:
            parent_id = str(running.info.run_id)
        elif finished is None:
            parent = self._created_cell(best.cell_key, str(record.cell))
            self._describe(parent, parameters, FROM_RESULTS)
            parent_id = str(parent.info.run_id)
        else:
            parent_id = finished
        has_changed = self._complete_children(parent_id, children_of(record))
        if not finished:
            self.finish_cell(parent_id, cell_metrics(record), cell_tags(record), digest)
        return parent_id if has_changed or not finished else None

    def published(self, record: CellRecord) -> str:
        """Publish a finished cell and return its parent's run id."""
        self.publish(record)
        found = self.find_finished(results_digest(record))
        assert found is not None
        return found

    @repeated_once
    def log_pretraining(
        self, key: str, name: str, parameters: Mapping[str, Any], curves: Mapping[str, Sequence[tuple[int, float]]]
    ) -> str:
        """Put the curves so far on a pretraining's run, found by its key or created; repeat it freely.

        Args:
            key: Names the recipe; a run of it whose curves hold other points is superseded.
            name: Shown as the run's name.
            parameters: The recipe; may be nested.
            curves: Steps and values of each metric, from the beginning.

        Returns:
            The run's id.
        """
        found = self.connection.search_where(f"tags.`{PRETRAINING_KEY}` = '{key}'")
        agreeing = [run for run in found if self._agrees(run, curves)]
        tags = {PRETRAINING_KEY: key, KIND: "pretraining"}
        run = agreeing[0] if agreeing else self._client.create_run(self._experiment_id, tags=tags, run_name=name)
        self._log(run, parameters=flattened(parameters), curves=curves, tags=self._code)
        self._supersede((older for older in found if older not in agreeing), str(run.info.run_id))
        return str(run.info.run_id)

    @repeated_once
    def finish_pretraining(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Put the outcome on a pretraining's run and finish it."""
        self._log(self._client.get_run(run_id), metrics=metrics, tags=tags)
        self._client.set_terminated(run_id)

    def _running(self, cell_key: str, parameters: Mapping[str, Any], results_digest: str | None = None) -> "Run | None":
        """Find the running parent that may take these results, of which None are known yet while a cell runs."""
        expected = flattened(parameters)
        for run in self._all_running(cell_key):
            is_free = run.data.tags.get(RESULTS_DIGEST) in (None, results_digest)
            if is_free and all(expected.get(name, value) == value for name, value in run.data.params.items()):
                return run
        return None

    def _all_running(self, cell_key: str) -> "list[Run]":
        return self.connection.search_where(f"tags.`{CELL_KEY}` = '{cell_key}' and attributes.status = 'RUNNING'")

    def _created_cell(self, cell_key: str, cell_name: str) -> "Run":
        tags = {CELL_KEY: cell_key, CELL_NAME: cell_name, KIND: "cell"}
        return self._client.create_run(self._experiment_id, tags=tags, run_name=cell_name)

    def _describe(self, parent: "Run", parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        self._log(parent, parameters=flattened(parameters), tags={**tags, **weights_tags(parameters)})
        text = without_secrets(OmegaConf.to_yaml(OmegaConf.create(dict(parameters))))
        self._client.log_text(parent.info.run_id, text, "configuration.yaml")
        self.connection.log_dataset(parent, dataset_input(parameters))

    def _complete_children(self, parent_id: str, children: Sequence[Child]) -> bool:
        """Leave a parent these children and no other; return whether anything had to be done."""
        found = self._children(parent_id)
        outcomes = {child.outcome: child for child in children}
        stale = [run for run in found if run.data.tags.get(OUTCOME_DIGEST) not in outcomes]
        whole = {run.data.tags.get(OUTCOME_DIGEST) for run in found if run.info.status == "FINISHED"}
        self._supersede(stale, parent_id)
        lacking = [child for outcome, child in outcomes.items() if outcome not in whole]
        for child in lacking:
            self._log_child(parent_id, child, FROM_RESULTS)
        return bool(stale or lacking)

    def _log_child(self, parent_id: str, child: Child, code: Mapping[str, str]) -> None:
        tags = {PARENT: parent_id, KIND: child.kind, f"backbench.{child.kind}": str(child.index)}
        found = self.connection.search_where(" and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items()))
        agreeing = [run for run in found if run.data.tags.get(OUTCOME_DIGEST) == child.outcome]
        if agreeing:
            run = agreeing[0]
        else:
            tags = {**tags, **code, OUTCOME_DIGEST: child.outcome}
            run = self._client.create_run(self._experiment_id, tags=tags, run_name=child.name)
        if run.info.status != "FINISHED":
            curves, more = epoch_curves(child.history), self._weights_of(parent_id)
            self._log(run, parameters=flattened(child.parameters), metrics=child.metrics, curves=curves, tags=more)
            self._client.set_terminated(run.info.run_id)
        self._supersede((older for older in found if older not in agreeing), str(run.info.run_id))

    def _children(self, parent_id: str) -> "list[Run]":
        below = self.connection.search_where(f"tags.`{PARENT}` = '{parent_id}'")
        return [run for run in below if KIND in run.data.tags]

    def _supersede_half_finished(self, cell_key: str, successor: str) -> None:
        """Put away what a process left that was killed while it finished a parent."""
        for run in self._all_running(cell_key):
            if RESULTS_DIGEST in run.data.tags:
                self._supersede([*self._children(run.info.run_id), run], successor)

    def _supersede(self, runs: Iterable["Run"], successor: str) -> None:
        for run in runs:
            self._client.set_tag(run.info.run_id, SUPERSEDED_BY, successor)
            self._client.delete_run(run.info.run_id)

    def _agrees(self, run: "Run", curves: Mapping[str, Sequence[tuple[int, float]]]) -> bool:
        """Say whether the points that a run holds, as far as the curves go, are points of the curves."""
        for name, curve in curves.items():
            # MLflow keeps no infinity, and a number that is none is equal to none.
            points = {(step, float(np.nan_to_num(value))) for step, value in curve}
            last = max((step for step, _ in points), default=-1)
            for point in self._client.get_metric_history(run.info.run_id, name):
                if point.step <= last and (point.step, float(np.nan_to_num(point.value))) not in points:
                    return False
        return True

    def _weights_tags(self, parent_id: str) -> dict[str, str]:
        tags = self._client.get_run(parent_id).data.tags
        return {name: value for name, value in tags.items() if name.startswith(WEIGHTS_TAGS)}
