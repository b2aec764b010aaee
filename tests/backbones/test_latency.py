"""What is measured, how often, and of which numbers; no time is asserted."""

from collections.abc import Iterator

import numpy as np
import pytest

from backbench.backbones import latency
from backbench.backbones.latency import Repetitions, random_images, seconds_per_call, speed_of


class Clock:
    """Stands for `time`: every call of what is measured takes the next duration."""

    def __init__(self, durations: Iterator[float]) -> None:
        self.now = 0.0
        self.durations = durations
        self.batches: list[np.ndarray] = []

    def perf_counter(self) -> float:
        return self.now

    def predict_on_batch(self, x: np.ndarray) -> None:
        self.batches.append(x)
        self.now += next(self.durations)


def endless(*seconds: float) -> Iterator[float]:
    yield from seconds
    while True:
        yield seconds[-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(endless(0.1))
    monkeypatch.setattr(latency, "time", made)
    return made


def test_latency_is_of_one_image_and_throughput_of_a_batch(clock: Clock) -> None:
    speed = speed_of(clock.predict_on_batch, 16)
    assert speed.latency_p50_ms == pytest.approx(100)
    assert speed.latency_p95_ms == pytest.approx(100)
    assert speed.throughput_images_per_second == pytest.approx(320)
    assert {batch.shape for batch in clock.batches} == {(1, 16, 16, 3), (32, 16, 16, 3)}
    assert all(batch is clock.batches[0] for batch in clock.batches if len(batch) == 1)


def test_the_slow_first_calls_do_not_count(clock: Clock) -> None:
    clock.durations = endless(0.5, 0.2, 0.2, 0.001)
    seconds = seconds_per_call(lambda: clock.predict_on_batch(np.zeros(1)), Repetitions(most=40))
    assert seconds == pytest.approx([0.001] * 40)


@pytest.mark.parametrize(("each", "calls"), [(30.0, 2 + 5), (0.25, 3 + 4 + 1), (1e-6, 3 + 500)])
def test_there_are_enough_repetitions_and_not_too_many(clock: Clock, each: float, calls: int) -> None:
    clock.durations = endless(each)
    seconds_per_call(lambda: clock.predict_on_batch(np.zeros(1)), Repetitions())
    assert abs(len(clock.batches) - calls) <= 1


def test_the_slowest_one_in_twenty_stands_in_p95_and_not_in_p50(clock: Clock) -> None:
    clock.durations = iter([0.001] * 3 + ([0.001] * 9 + [0.1]) * 2000)
    speed = speed_of(clock.predict_on_batch, 8)
    assert speed.latency_p50_ms == pytest.approx(1)
    assert speed.latency_p95_ms == pytest.approx(100)


def test_images_have_the_range_of_pixels() -> None:
    images = random_images(2, 8)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert 200 < images.max() < 255
