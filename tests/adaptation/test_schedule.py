import itertools
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from backbench.adaptation.schedule import (
    MOST_HANDED_OVER,
    Batch,
    Course,
    Hyperparameters,
    Schedule,
    learning_rate_at,
    loss_and_accuracy,
    made_ahead,
    shuffled_batches,
    training_batches,
)
from backbench.features.activations import Activations
from tests.support.tiny import blobs

SCHEDULE = Schedule(epochs=4, batch_size=16, warmup_fraction=0.1, early_stopping_patience=2)


def test_every_example_is_seen_before_one_is_seen_again() -> None:
    batches = itertools.islice(shuffled_batches(10, 4, seed=0), 5)
    seen = np.concatenate(list(batches))
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))


def test_batches_larger_than_the_data_are_full() -> None:
    assert len(next(shuffled_batches(3, 8, seed=0))) == 8


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate_at(step, num_steps=100, warmup_steps=10, peak=1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001


def test_skipped_batches_are_drawn_and_not_read() -> None:
    data = blobs(20, (3,), num_views=2)
    straight = list(itertools.islice(training_batches(data, 8, seed=0), 6))[4:]
    read: list[int] = []

    class Counting(Activations):
        def take(self, views: np.ndarray, examples: np.ndarray) -> np.ndarray:
            read.append(len(examples))
            return super().take(views, examples)

    counting = Counting(data.values, data.labels)
    skipped = list(itertools.islice(training_batches(counting, 8, seed=0, num_skipped=4), 2))
    for one, other in zip(straight, skipped, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    assert read == [8, 8]


def test_batches_made_ahead_are_the_same_batches() -> None:
    data = blobs(20, (3,), num_views=2)
    plain = list(itertools.islice(training_batches(data, 8, seed=0), 6))
    with made_ahead(training_batches(data, 8, seed=0)) as ready:
        ahead = list(itertools.islice(ready, 6))
    for one, other in zip(plain, ahead, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


def test_a_batch_is_made_while_the_one_before_it_is_in_use() -> None:
    next_are_made = threading.Event()

    def numbered() -> Iterator[Batch]:
        for number in itertools.count():
            if number == MOST_HANDED_OVER:
                next_are_made.set()
            yield np.array([number]), np.array([number])

    with made_ahead(numbered()) as ready:
        next(ready)
        assert next_are_made.wait(timeout=10)


def test_what_fails_while_a_batch_is_made_ahead_is_raised() -> None:
    def failing() -> Iterator[Batch]:
        yield np.zeros(1), np.zeros(1)
        raise OSError("disk")

    with made_ahead(failing()) as ready, pytest.raises(OSError, match="disk"):
        list(itertools.islice(ready, 2))


def test_a_course_ends_when_validation_loss_has_not_fallen_for_too_long() -> None:
    course = Course(Hyperparameters(0.1, 0.0, seed=0), SCHEDULE, num_examples=16)
    for epoch, val_loss in enumerate([0.5, 0.6, 0.7]):
        assert not course.is_over
        course.end_epoch(0.1, 1.0, (val_loss, 0.0), lambda epoch=epoch: [np.array(epoch)])
    assert course.is_over
    assert course.fit().best.epoch == 0
    assert course.fit().weights == [np.array(0)]


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "reason"),
    [
        (np.nan, np.inf, "diverged: training loss nan in epoch 1"),
        (1.0, np.inf, "diverged: validation loss inf in epoch 1"),
    ],
)
def test_a_loss_that_is_not_finite_ends_a_course_with_its_reason(
    train_loss: float, val_loss: float, reason: str
) -> None:
    course = Course(Hyperparameters(0.1, 0.0, seed=0), SCHEDULE, num_examples=16)
    for losses in ((1.0, 0.5), (train_loss, val_loss)):
        assert not course.is_over
        course.end_epoch(0.1, losses[0], (losses[1], 0.0), list)
    assert course.is_over
    assert course.fit().reason == reason
    assert course.fit().best.val_loss == 0.5


def test_loss_is_that_of_the_labels_and_a_diverged_one_is_infinite() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    loss, accuracy = loss_and_accuracy(logits, np.array([0, 1]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)
    assert accuracy == 0.5
    assert loss_and_accuracy(np.full((2, 3), np.nan), np.array([0, 1]))[0] == float("inf")
