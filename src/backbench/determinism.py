"""Seeds and deterministic operations, set before the first tensor is made."""

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
