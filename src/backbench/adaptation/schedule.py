"""How long a candidate trains and on what: learning rates by step, batches by seed, and the epochs it leaves behind."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from backbench.features.activations import ActivationSource
from backbench.results.records import EpochRecord

Weights = list[np.ndarray]
Batch = tuple[np.ndarray, np.ndarray]
HANDOVER_BYTES, MOST_HANDED_OVER = 4 << 20, 16


@dataclass(frozen=True)
class Schedule:
    """How long a candidate trains: linear warm-up, then a cosine to zero, one learning rate per step.

    The gradient of a step is the mean over `accumulation_steps` equal parts of its batch.
    """

    epochs: int
    batch_size: int
    warmup_fraction: float
    early_stopping_patience: int
    accumulation_steps: int = 1


@dataclass(frozen=True)
class Hyperparameters:
    """What differs between two fits of the same model."""

    learning_rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class Fit:
    """The outcome of one fit: the epoch with the lowest validation loss, and the way there.

    `weights` are the model's values after that epoch. `reason` says why the fit ended before its time, and is empty
    where it went its way. `accumulation_steps` is in how many parts each batch passed.
    """

    best: EpochRecord
    history: tuple[EpochRecord, ...]
    weights: Weights
    reason: str = ""
    accumulation_steps: int = 1

    @property
    def pruned(self) -> bool:
        """Whether it ended before its time: it diverged, or others did better."""
        return bool(self.reason)


def learning_rate_at(step: int, *, num_steps: int, warmup_steps: int, peak: float) -> float:
    """Return the learning rate of one step: linear warm-up to `peak`, then a cosine to zero.

    Source:
        SGDR, https://arxiv.org/abs/1608.03983, without restarts.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return peak * 0.5 * float(1.0 + np.cos(np.pi * done))


def shuffled_batches(num_examples: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield index batches without end, every one full: permutations of the examples, joined.

    The last batch of an epoch is filled from the next permutation, so that no example is dropped and
    every batch has the same shape.
    """
    random = np.random.default_rng(seed)
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, random.permutation(num_examples)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def training_batches(data: ActivationSource, batch_size: int, seed: int, *, num_skipped: int = 0) -> Iterator[Batch]:
    """Yield activations `(batch_size, *boundary_shape)` float32 and labels, each example in a view drawn anew.

    The first `num_skipped` batches are drawn, and not read.
    """
    random = np.random.default_rng([seed, 1])
    for number, examples in enumerate(shuffled_batches(len(data.labels), batch_size, seed)):
        views = random.integers(data.num_views, size=batch_size)
        if number >= num_skipped:
            yield data.take(views, examples), data.labels[examples]


@contextmanager
def made_ahead(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """Give the same endless batches, the next ones made on a thread of their own while these train.

    Small batches change threads several at a time, which costs as much as one.
    """

    def some() -> list[Batch]:
        made: list[Batch] = []
        num_bytes = 0
        while num_bytes < HANDOVER_BYTES and len(made) < MOST_HANDED_OVER:
            made.append(next(batches))
            num_bytes += made[-1][0].nbytes
        return made

    with ThreadPoolExecutor(max_workers=1) as worker:

        def ready() -> Iterator[Batch]:
            pending = worker.submit(some)
            while True:
                made = pending.result()
                pending = worker.submit(some)
                yield from made

        yield ready()


@dataclass
class Course:
    """One candidate on its way through the schedule."""

    candidate: Hyperparameters
    schedule: Schedule
    num_examples: int
    history: list[EpochRecord] = field(default_factory=list)
    reason: str = ""
    best_weights: Weights = field(default_factory=list)
    _best: EpochRecord | None = None

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.num_examples / self.schedule.batch_size)

    @property
    def is_over(self) -> bool:
        """True once the schedule ended, validation loss has not fallen for too long, or there is a reason to end."""
        if not self.history or self._best is None:
            return False
        return (
            bool(self.reason)
            or len(self.history) >= self.schedule.epochs
            or self.history[-1].epoch - self._best.epoch >= self.schedule.early_stopping_patience
        )

    def rates(self, epoch: int) -> list[float]:
        """Return the learning rate of each step of an epoch."""
        num_steps = self.schedule.epochs * self.steps_per_epoch
        warmup_steps = int(self.schedule.warmup_fraction * num_steps)
        return [
            learning_rate_at(step, num_steps=num_steps, warmup_steps=warmup_steps, peak=self.candidate.learning_rate)
            for step in range(epoch * self.steps_per_epoch, (epoch + 1) * self.steps_per_epoch)
        ]

    def end_epoch(
        self, rate: float, train_loss: float, val: tuple[float, float], weights: Callable[[], Weights]
    ) -> EpochRecord:
        """Note an epoch: its last learning rate, its losses, and the weights if validation loss is the lowest yet.

        A loss that is not finite ends the course: no later step could make anything of such weights.
        """
        record = EpochRecord(len(self.history), rate, train_loss, *val)
        self.history.append(record)
        if self._best is None or record.val_loss < self._best.val_loss:
            self._best, self.best_weights = record, weights()
        for split, loss in (("training", record.train_loss), ("validation", record.val_loss)):
            if not math.isfinite(loss) and not self.reason:
                self.reason = f"diverged: {split} loss {loss} in epoch {record.epoch}"
        return record

    def go_on(self, history: list[EpochRecord], best_weights: Weights) -> None:
        """Stand where a course stood that left after these epochs, the best of which had these weights."""
        self.history, self.best_weights = history, best_weights
        self._best = min(history, key=lambda epoch: epoch.val_loss)  # of equals the first, as `end_epoch` has it

    def prune(self) -> None:
        """End the course, because others did better after as many epochs."""
        self.reason = f"worse than others after epoch {self.history[-1].epoch}"

    def fit(self) -> Fit:
        assert self._best is not None
        return Fit(self._best, tuple(self.history), self.best_weights, self.reason)


def loss_and_accuracy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return mean cross-entropy, in nats, and accuracy of logits `(num_examples, num_classes)`."""
    exact = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of a diverged fit
        shifted = exact - exact.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    # A diverged fit must lose every comparison, and NaN compares as false.
    loss = loss if math.isfinite(loss) else math.inf
    return float(loss), float((exact.argmax(axis=1) == labels).mean())
