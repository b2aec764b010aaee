"""A pretraining as a run in MLflow: one per recipe, however often it was killed and gone on with."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backbench.config.config import TrackingConfig
from backbench.tracking.connection import Connection, Curves
from backbench.tracking.patience import twice
from backbench.tracking.runs import KIND, code_tags, flattened
from backbench.tracking.store_address import store_shown

KEY = "backbench.pretraining_key"


class PretrainingRun:
    """The run of one recipe; every method may be repeated, and raises TrackingError when the store fails twice."""

    def __init__(
        self,
        tracking: TrackingConfig,
        key: str,
        name: str,
        parameters: Mapping[str, Any],
        code: Mapping[str, str] | None = None,
    ) -> None:
        """Open the store.

        Args:
            tracking: Which store.
            key: Names the recipe; a run of it whose curves hold other points is superseded.
            name: Shown as the run's name.
            parameters: The recipe; may be nested.
            code: As `code_tags` names the code that pretrains; without it, the code at hand.
        """
        self._key, self._name, self._parameters = key, name, parameters
        self._code = code_tags() if code is None else code
        self._shown = store_shown(tracking.uri)
        self._connection = twice(lambda: Connection(tracking), self._shown)

    def log(self, curves: Curves) -> str:
        """Put the curves so far, from the beginning, on the run, found by its key or created; return its id."""
        return twice(lambda: self._log(curves), self._shown)

    def finish(self, curves: Curves, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Put the outcome on the run and finish it."""
        run_id, client = self.log(curves), self._connection.client

        def finish() -> None:
            self._connection.log(client.get_run(run_id), metrics=metrics, tags=tags)
            client.set_terminated(run_id)

        twice(finish, self._shown)

    def _log(self, curves: Curves) -> str:
        found = self._connection.search({KEY: self._key})
        agreeing = [run for run in found if self._agrees(run, curves)]
        run = agreeing[0] if agreeing else self._connection.create(self._name, {KEY: self._key, KIND: "pretraining"})
        self._connection.log(run, parameters=flattened(self._parameters), curves=curves, tags=self._code)
        self._connection.supersede((older for older in found if older not in agreeing), run)
        return str(run.info.run_id)

    def _agrees(self, run: Any, curves: Curves) -> bool:
        """Say whether the points that a run holds, as far as the curves go, are points of the curves."""
        for name, curve in curves.items():
            # MLflow keeps no infinity, and a number that is none is equal to none.
            points = {(step, float(np.nan_to_num(value))) for step, value in curve}
            last = max((step for step, _ in points), default=-1)
            for point in self._connection.client.get_metric_history(run.info.run_id, name):
                if point.step <= last and (point.step, float(np.nan_to_num(point.value))) not in points:
                    return False
        return True
