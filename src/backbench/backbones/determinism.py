"""Seeds, threads and deterministic operations, set before the first tensor is made; and what layers compute in."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from backbench.compat.networks.jax_threads import limit_jax
from backbench.compat.networks.keras_random import seed_everything
from backbench.runtime.errors import ConfigError


def make_deterministic(seed: int, *, num_threads: int = 0, memory_growth: bool = False) -> None:
    """Seed Python, NumPy and the Keras backend, and ask the backend for deterministic operations.

    Args:
        seed: Any int of at least 0; 0 is honoured.
        num_threads: As `limit_threads` takes it.
        memory_growth: As `grow_gpu_memory` does it; else all of it is taken at once.
    """
    limit_threads(num_threads)
    if memory_growth:
        grow_gpu_memory()
    seed_everything(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def limit_threads(num_threads: int) -> None:
    """Let one operation use so many threads, so that the number of cores changes no bit; 0 leaves it to the backend.

    One process of two threads is hardly faster than one of one thread on narrow networks and small images
    (docs/formula-weights.md), so a machine is better filled with processes.

    Raises:
        ConfigError: the backend has no such setting.
        RuntimeError: the backend has made a tensor already, with another number.
    """
    if not num_threads:
        return
    name = keras.backend.backend()
    limit = {"tensorflow": _limit_tensorflow, "jax": limit_jax, "torch": _limit_torch}.get(name)
    if limit is None:
        raise ConfigError(f"conf/benchmark.yaml: threads: expected 0 on {name}, found {num_threads}; set it to 0")
    limit(num_threads)


def _limit_tensorflow(num_threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _limit_torch(num_threads: int) -> None:
    import torch

    torch.set_num_threads(num_threads)
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)


def grow_gpu_memory() -> None:
    """Let TensorFlow take memory of every visible GPU as it needs it, so that others can compute there too.

    Raises:
        RuntimeError: the backend has made a tensor already.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Let the layers that are built within compute by one of Keras's policies, such as `mixed_bfloat16`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def computes_on_gpu() -> bool:
    """Say whether the backend sees a GPU."""
    try:
        # Keras has no such list for PyTorch.
        return keras.backend.backend() != "torch" and bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # what JAX raises where there is none
        return False
