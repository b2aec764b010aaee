"""A fit that leaves at an epoch's end and goes on, here or in another process, ends as one that never left."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from backbench.adaptation.checkpoints import HISTORY, Checkpoints
from backbench.adaptation.schedule import Fit, Hyperparameters, Schedule, Weights
from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training import Fitter
from backbench.backbones.determinism import make_deterministic
from backbench.results.records import EpochRecord
from backbench.runtime.interruption import Interrupted, StopSignals
from tests.support.configs import PROJECT, strategy_config
from tests.support.fits import same
from tests.support.limited_memory import limit_memory
from tests.support.tiny import BACKBONE, blobs, cut_tiny

SCHEDULE = Schedule(epochs=3, batch_size=8, warmup_fraction=0.1, early_stopping_patience=3)
TRAIN, VAL = blobs(20, (4, 4, 4), num_views=2, seed=0), blobs(15, (4, 4, 4), seed=1)
CANDIDATE = Hyperparameters(0.05, 0.01, seed=0)


def network() -> keras.Model:
    """Everything whose state a step changes: weights, statistics, and the random states of two dropouts."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    values = keras.Input((4, 4, 4))
    x = layers.SpatialDropout2D(0.2)(layers.Conv2D(8, 3)(values))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x)))
    return keras.Model(values, layers.Dense(3)(layers.Dropout(0.3)(x)))


def fit(checkpoints: Checkpoints | None = None) -> Fit:
    """Fit in a new model and a new fitter, as a new process would."""
    fitter = Fitter(network(), SCHEDULE)
    return fitter.fit(CANDIDATE, fitter.model.get_weights(), TRAIN, VAL, checkpoints=checkpoints)


def once(call: int) -> Callable[[], bool]:
    """Ask to leave at the end of the n-th epoch that is seen, and not again."""
    calls = iter(range(1000))
    return lambda: next(calls) == call


@pytest.fixture(scope="module")
def fitter() -> Fitter:
    make_deterministic(0)
    return Fitter(network(), SCHEDULE)


@pytest.fixture(scope="module")
def initial(fitter: Fitter) -> Weights:
    return network().get_weights()


@pytest.fixture(scope="module")
def straight(fitter: Fitter, initial: Weights) -> Fit:
    return fitter.fit(CANDIDATE, initial, TRAIN, VAL)


def test_a_fit_that_leaves_after_every_epoch_ends_in_the_same_bytes(straight: Fit, tmp_path: Path) -> None:
    for epoch in range(SCHEDULE.epochs - 1):
        with pytest.raises(Interrupted, match=f"left after epoch {epoch}, to go on from there"):
            fit(Checkpoints(tmp_path, lambda: True))
    assert same(fit(Checkpoints(tmp_path, lambda: True)), straight)
    assert list(tmp_path.iterdir()) == [], "a fit that is over needs nothing more"


def test_a_fit_whose_images_were_halved_goes_on_with_what_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as little:
        limit_memory(little, "train_on_batch", 4)
        whole = fit()
        with pytest.raises(Interrupted):
            fit(Checkpoints(tmp_path, once(1)))
    resumed = fit(Checkpoints(tmp_path, once(9)))
    assert resumed.accumulation_steps == whole.accumulation_steps == 2
    assert same(resumed, whole)


def test_what_no_longer_fits_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        fit(Checkpoints(tmp_path, once(1)))
    limit_memory(monkeypatch, "train_on_batch", 4)
    assert same(fit(Checkpoints(tmp_path, once(9))), fit())


def test_the_pruner_of_a_fit_that_goes_on_sees_the_earlier_epochs(
    fitter: Fitter, initial: Weights, straight: Fit, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        fitter.fit(CANDIDATE, initial, TRAIN, VAL, checkpoints=Checkpoints(tmp_path, once(0)))
    seen: list[tuple[EpochRecord, ...]] = []

    def look(history: Sequence[EpochRecord]) -> bool:
        seen.append(tuple(history))
        return True

    pruned = fitter.fit(CANDIDATE, initial, TRAIN, VAL, should_stop=look, checkpoints=Checkpoints(tmp_path, once(9)))
    assert seen == [straight.history[:2]]
    assert pruned.reason == "worse than others after epoch 1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", ["another candidate's", "half of it", "no archive"])
def test_a_file_that_does_not_fit_is_passed_over(
    fitter: Fitter, initial: Weights, straight: Fit, tmp_path: Path, spoil: str
) -> None:
    candidate = Hyperparameters(0.1, 0.0, 1) if spoil == "another candidate's" else CANDIDATE
    with pytest.raises(Interrupted):
        fitter.fit(candidate, initial, TRAIN, VAL, checkpoints=Checkpoints(tmp_path, once(1)))
    (file,) = tmp_path.iterdir()
    if spoil == "half of it":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif spoil == "no archive":
        file.write_bytes(b"nothing")
    assert same(fitter.fit(CANDIDATE, initial, TRAIN, VAL, checkpoints=Checkpoints(tmp_path, once(9))), straight)


def leave_at_a_signal(folder: str) -> None:
    """Run as a process of its own: fit until SIGTERM, which comes in the second epoch."""
    make_deterministic(0)
    with StopSignals():
        fitter = Fitter(network(), SCHEDULE)

        def in_the_second(history: Sequence[EpochRecord]) -> bool:
            if len(history) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return False

        checkpoints = Checkpoints(Path(folder))
        fitter.fit(
            CANDIDATE, fitter.model.get_weights(), TRAIN, VAL, should_stop=in_the_second, checkpoints=checkpoints
        )


@pytest.mark.system
def test_a_process_told_to_end_saves_its_fit_and_another_ends_it_in_the_same_bytes(
    straight: Fit, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "src")])
    command = f"from tests.adaptation.test_checkpoints import leave_at_a_signal; leave_at_a_signal({str(tmp_path)!r})"
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert "Interrupted: left after epoch 1" in done.stderr
    assert same(fit(Checkpoints(tmp_path, once(9))), straight)


def test_a_trainable_part_asks_every_suffix_and_leaves_the_rest(tmp_path: Path) -> None:
    train, val = blobs(24, (8, 8, 8), seed=0), blobs(15, (8, 8, 8), seed=1)
    trainable_part = TrainablePart(
        cut_tiny().suffix, BACKBONE, strategy_config("fine_tuning", epochs=2, batch_size=8), num_classes=3
    )
    initial = trainable_part.initial_values(train, val, seed=0)
    answers = iter([False, False, True])  # after both epochs of the first, and one of the second
    with pytest.raises(Interrupted):
        trainable_part.fit(
            [CANDIDATE] * 3, [initial] * 3, train, val, checkpoints=Checkpoints(tmp_path, lambda: next(answers))
        )
    assert list(answers) == []


class Killed(BaseException):
    """What stands for SIGKILL."""


def test_a_killed_fit_goes_on_from_the_last_epoch_that_was_saved(
    fitter: Fitter, initial: Weights, straight: Fit, tmp_path: Path
) -> None:
    now_and_then, seen = Checkpoints(tmp_path, lambda: False, seconds_between=0.0), list[int]()

    def die_once_in_the_second(history: Sequence[EpochRecord]) -> bool:
        seen.append(len(history))
        if seen == [1, 2]:
            raise Killed
        return False

    def go_on() -> Fit:
        return fitter.fit(CANDIDATE, initial, TRAIN, VAL, should_stop=die_once_in_the_second, checkpoints=now_and_then)

    with pytest.raises(Killed):
        go_on()
    assert same(go_on(), straight)
    assert seen == [1, 2, 2], "the first epoch was not trained again"


def history_of(num_epochs: int, value: float = 0.0) -> dict[str, np.ndarray]:
    return {HISTORY: np.zeros((num_epochs, 5)), "value": np.array(value)}


def test_what_was_saved_is_never_replaced_by_fewer_epochs(tmp_path: Path) -> None:
    """As where a process was taken for dead, and comes back beside the one that went on."""
    first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
    first.write("fit", history_of(2))
    second.write("fit", history_of(5))
    before = (tmp_path / "fit.npz").read_bytes()
    for num_epochs in (3, 5):
        first.write("fit", history_of(num_epochs, value=1.0))
        assert (tmp_path / "fit.npz").read_bytes() == before
    first.write("fit", history_of(6))
    saved = second.read("fit")
    assert saved is not None
    assert len(saved[HISTORY]) == 6
    assert second.read("another") is None


def test_what_was_saved_in_half_is_replaced(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write("fit", history_of(5))
    file = tmp_path / "fit.npz"
    file.write_bytes(file.read_bytes()[:-40])
    assert checkpoints.read("fit") is None
    checkpoints.write("fit", history_of(1))
    assert checkpoints.read("fit") is not None
    checkpoints.remove("fit")
    checkpoints.remove("fit")
    assert list(tmp_path.iterdir()) == []
