"""What a cell took to compute, as its stages add it up: killed and gone on with, and whatever MLflow does meanwhile."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backbench.adaptation.strategies import TrainablePart
from backbench.comparison.leaderboard import MeasuredCost
from backbench.comparison.ranking import measured_cost
from backbench.results.compute import EMBED, read_compute
from backbench.runtime import paths
from backbench.runtime.paths import Cell
from backbench.stages.embed.backbone_pass import BackbonePass
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from backbench.tracking.background_tracker import BackgroundTracker
from tests.support.clock import Clock, stopped
from tests.support.tiny_cell import STAGES, Killed, cell_config_for, run

CELL = Cell("tiny", "fine_tuning")
FIT_SECONDS, ROWS_SECONDS, MLFLOW_SECONDS = 100.0, 10.0, 1e6


class Costly:
    """Lets a method of a class take so many seconds, and die first where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        self._monkeypatch, self._clock = monkeypatch, clock
        self.calls: list[str] = []
        self.dies_at: int | None = None

    def make(self, owner: type, name: str, seconds: float) -> None:
        method = getattr(owner, name)

        def costly(*arguments: Any, **options: Any) -> Any:
            if len(self.calls) == self.dies_at:
                self.dies_at = None
                self._clock.passes(seconds / 100)
                raise Killed
            self.calls.append(name)
            self._clock.passes(seconds)
            return method(*arguments, **options)

        self._monkeypatch.setattr(owner, name, costly)


@pytest.fixture
def costly(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Costly:
    """Time passes in fits, with batches of activations, and in whatever is told to MLflow, and nowhere else."""
    clock = stopped(monkeypatch)
    made = Costly(monkeypatch, clock)
    made.make(TrainablePart, "fit", FIT_SECONDS)
    made.make(BackbonePass, "_activations", ROWS_SECONDS)
    for name in ("__init__", "add", "write", "__exit__"):
        monkeypatch.setattr(BackgroundTracker, name, _waiting(getattr(BackgroundTracker, name), clock))
    return made


def _waiting(method: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    def waiting(*arguments: Any, **options: Any) -> Any:
        clock.passes(MLFLOW_SECONDS)
        return method(*arguments, **options)

    return waiting


def cost() -> MeasuredCost:
    return measured_cost(CELL)


def test_a_cell_took_the_same_in_one_run_or_several_killed_or_not_and_mlflow_adds_nothing(costly: Costly) -> None:
    run("fine_tuning", seeds=[0, 1])
    straight, num_batches = cost(), costly.calls.count("_activations")
    assert num_batches > 2
    assert straight.embed_seconds == num_batches * ROWS_SECONDS
    assert (straight.search_seconds, straight.training_seconds) == (3 * FIT_SECONDS, 2 * FIT_SECONDS)

    more = cell_config_for("fine_tuning", seeds=[0, 1, 2])
    for stage in (sweep, train):
        stage(more)
    assert costly.calls.count("fit") == 3 + 2 + 1, "one more seed"
    assert (cost().search_seconds, cost().training_seconds) == (3 * FIT_SECONDS, 3 * FIT_SECONDS), "what is taken up"

    for folder in (paths.STATE, paths.COMPUTE, CELL.activations):
        shutil.rmtree(folder)
    assert (cost().embed_seconds, cost().search_seconds, cost().training_seconds) == (None, None, None)
    config = cell_config_for("fine_tuning", seeds=[0, 1])
    for stage in STAGES:
        costly.dies_at = len(costly.calls) + 1
        with pytest.raises(Killed):
            stage(config)
        stage(config)
    assert cost() == replace(straight, peak_memory_bytes=cost().peak_memory_bytes)


def test_cells_have_equal_shares_of_the_pass_of_their_backbone_and_add_up_to_it(costly: Costly) -> None:
    configs = [cell_config_for(strategy, seeds=[0]) for strategy in ("feature_extraction", "fine_tuning")]
    embed(configs)
    shares = [compute.seconds for config in configs if (compute := read_compute(EMBED, config.cell))]
    assert shares == [costly.calls.count("_activations") * ROWS_SECONDS / 2] * 2
