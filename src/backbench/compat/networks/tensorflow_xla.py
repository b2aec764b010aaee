"""XLA for TensorFlow's models while operations are deterministic.

Keras would not compile one then, because XLA lacks some of these; TensorFlow itself raises where one is missing. Keras
asks a private module of TensorFlow.

Checked with Keras 3.15.1 and TensorFlow 2.21.0.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from backbench.compat.networks.attributes import replaced


@contextmanager
def allowing_xla() -> Iterator[None]:
    """Let Keras compile a model of TensorFlow's by XLA, whether operations are deterministic or not."""
    from tensorflow.python.framework import config

    with replaced(config, "is_op_determinism_enabled", lambda: False):
        yield
