"""A slice of a stack is the head that would be trained alone: the claim that every number of a sweep rests on."""

import numpy as np
import pytest

from backbench.adaptation.heads import build_head, standardise
from backbench.adaptation.schedule import Fit, Hyperparameters, Schedule
from backbench.adaptation.stacked_training import StackedFitter
from backbench.adaptation.training import Fitter
from backbench.config.strategy_config import HeadConfig
from tests.support.tiny import blobs

SCHEDULE = Schedule(epochs=6, batch_size=16, warmup_fraction=0.1, early_stopping_patience=2)
TRAIN, VAL = blobs(50, (8,), num_views=2, seed=0), blobs(33, (8,), seed=1)
HEADS = {
    "linear": HeadConfig(hidden_units=0, dropout=0.0),
    "linear_with_dropout": HeadConfig(hidden_units=0, dropout=0.3),
    "hidden_with_dropout": HeadConfig(hidden_units=16, dropout=0.5),
}
# The last one is stopped early, and the one before it diverges: neither may touch its neighbours.
SEARCH = [Hyperparameters(rate, decay, 0) for rate, decay in [(0.03, 0.0), (0.003, 0.5), (1e30, 1e30), (1.0, 0.1)]]
SEEDS = [Hyperparameters(0.03, 0.01, seed) for seed in range(3)]


def initial_head(config: HeadConfig, seed: int) -> list[np.ndarray]:
    head = build_head(8, 3, config, seed=seed)
    standardise(head, TRAIN)
    return head.get_weights()


def stacked(config: HeadConfig, candidates: list[Hyperparameters]) -> list[Fit]:
    shared = len({candidate.seed for candidate in candidates}) == 1
    fitter = StackedFitter(8, 3, config, SCHEDULE, num_slices=len(candidates), shared_batches=shared)
    return fitter.fit(candidates, [initial_head(config, c.seed) for c in candidates], TRAIN, VAL)


def assert_close(one: Fit, other: Fit) -> None:
    assert len(one.history) == len(other.history)
    assert one.reason == other.reason
    assert one.best.epoch == other.best.epoch
    for mine, theirs in zip(one.history, other.history, strict=True):
        for name in ("learning_rate", "train_loss", "val_loss", "val_accuracy"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-4, abs=1e-4, nan_ok=True), name
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("candidates", [SEARCH, SEEDS], ids=["one_seed", "many_seeds"])
@pytest.mark.parametrize("name", HEADS)
def test_a_slice_equals_the_same_trial_trained_alone(name: str, candidates: list[Hyperparameters]) -> None:
    config = HEADS[name]
    alone = Fitter(build_head(8, 3, config, seed=0), SCHEDULE)
    for candidate, fit in zip(candidates, stacked(config, candidates), strict=True):
        assert_close(fit, alone.fit(candidate, initial_head(config, candidate.seed), TRAIN, VAL))


def test_a_slice_that_diverges_says_so_and_its_neighbours_train_on() -> None:
    reasons = [fit.reason for fit in stacked(HeadConfig(hidden_units=0, dropout=0.0), SEARCH)]
    assert reasons[2].startswith("diverged: training loss ")
    assert reasons[:2] == ["", ""]
    assert reasons[3] == ""


def test_a_stack_of_one_equals_the_trial_alone() -> None:
    alone = Fitter(build_head(8, 3, HeadConfig(hidden_units=0, dropout=0.0), seed=0), SCHEDULE)
    (fit,) = stacked(HeadConfig(hidden_units=0, dropout=0.0), SEARCH[:1])
    assert_close(fit, alone.fit(SEARCH[0], initial_head(HeadConfig(hidden_units=0, dropout=0.0), 0), TRAIN, VAL))


def test_a_stack_used_twice_gives_the_same_bytes() -> None:
    config = HEADS["hidden_with_dropout"]
    fitter = StackedFitter(8, 3, config, SCHEDULE, num_slices=3, shared_batches=False)
    starts = [initial_head(config, candidate.seed) for candidate in SEEDS]
    first, second = (fitter.fit(SEEDS, starts, TRAIN, VAL) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.history == other.history
        assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


def test_candidates_of_several_seeds_cannot_share_batches() -> None:
    fitter = StackedFitter(8, 3, HeadConfig(hidden_units=0, dropout=0.0), SCHEDULE, num_slices=3, shared_batches=True)
    with pytest.raises(ValueError, match="expected candidates of one seed"):
        fitter.fit(SEEDS, [initial_head(HeadConfig(hidden_units=0, dropout=0.0), 0)] * 3, TRAIN, VAL)
