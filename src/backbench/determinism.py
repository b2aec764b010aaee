"""Seeds, threads and deterministic operations, set before the first tensor is made."""

import keras


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and the Keras backend, and ask the backend for deterministic operations.

    Args:
        seed: Any int of at least 0; 0 is honoured.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def limit_threads(num_threads: int) -> None:
    """Let one operation use so many threads, so that the number of cores changes no bit.

    Narrow networks on small images keep two threads badly busy: two processes of one thread each did up to
    1.8 times the work of one process of two (docs/formula-weights.md).

    Raises:
        RuntimeError: the backend has made a tensor already.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
