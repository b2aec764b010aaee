"""How fast a model answers: latency of one image, throughput of a batch.

Measured is the way from preprocessed images in memory to pooled features in memory, by the program that Keras traces
for `predict_on_batch`: what a deployment would call, and what embed calls. Decoding and preprocessing of images are not
in it. Nor is the head, which adds one product of a vector of features with a matrix of classes: next to nothing. What
the weights are worth does not matter to the time, so they need not be the trained ones.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from backbench.runtime.out_of_memory import halved

LATENCY_BATCH, THROUGHPUT_BATCH = 1, 32
Predict = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Repetitions:
    """How long to measure: for so many seconds, within bounds on the repetitions; after some to warm up.

    The first call traces, the next ones fill caches and thread pools. Where a call is slow, two warm up, and the fewest
    have to do.
    """

    seconds: float = 1.0
    fewest: int = 5
    most: int = 500
    warm_up: int = 3


@dataclass(frozen=True)
class Speed:
    """Latency of one image, and images per second in batches of `THROUGHPUT_BATCH`, or of what fits into memory."""

    latency_p50_ms: float
    latency_p95_ms: float
    throughput_images_per_second: float
    throughput_batch_size: int = THROUGHPUT_BATCH


def speed_of(predict: Predict, size_pixels: int, repetitions: Repetitions | None = None) -> Speed:
    """Measure a model on random images whose values lie in [0, 255).

    Args:
        predict: A Keras model's `predict_on_batch`: `(b, size, size, 3)` float32 to `(b, feature_dim)`.
        size_pixels: Side of the images.
        repetitions: For latency and throughput each.

    Raises:
        MemoryLimitError: not even one image fits.
    """
    repetitions = repetitions or Repetitions()
    _, latencies = _measured(predict, LATENCY_BATCH, size_pixels, repetitions)
    p50, p95 = np.percentile(latencies, [50, 95])
    number, batches = _measured(predict, THROUGHPUT_BATCH, size_pixels, repetitions)
    return Speed(1000 * float(p50), 1000 * float(p95), number * len(batches) / sum(batches), number)


def _measured(predict: Predict, number: int, size_pixels: int, repetitions: Repetitions) -> tuple[int, list[float]]:
    """Return how many images passed at once, half of `number` and so on where memory ran out, and each call's time."""
    while True:
        images = random_images(number, size_pixels)
        try:
            return number, seconds_per_call(partial(predict, images), repetitions)
        except Exception as error:
            number = halved(number, error)


def random_images(number: int, size_pixels: int) -> np.ndarray:
    """Draw float32 `(number, size_pixels, size_pixels, 3)` in [0, 255)."""
    shape = (number, size_pixels, size_pixels, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def seconds_per_call(call: Callable[[], object], repetitions: Repetitions) -> list[float]:
    """Return what each call took after the warm-up, in order."""
    began = time.perf_counter()
    for number in range(repetitions.warm_up):
        call()
        if number and time.perf_counter() - began > repetitions.seconds:
            break
    seconds: list[float] = []
    while len(seconds) < repetitions.fewest or (sum(seconds) < repetitions.seconds and len(seconds) < repetitions.most):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds
