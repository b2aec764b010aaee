import keras
import pytest
from tensorflow.python.framework import config

from backbench.compat.networks.tensorflow_xla import allowing_xla


def test_keras_compiles_by_xla_though_operations_are_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras is told that they are, for TensorFlow could not be told the contrary afterwards."""
    monkeypatch.setattr(config, "is_op_determinism_enabled", lambda: True)
    refused, allowed = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]) for _ in range(2))
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        refused.compile(jit_compile=True)
    with allowing_xla():
        allowed.compile(jit_compile=True)
    assert [refused.jit_compile, allowed.jit_compile] == [False, True]
