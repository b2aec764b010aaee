import keras
import numpy as np
import pytest

from backbench.compat.networks.keras_optimizers import ADAMW, VectorAdamW, decay_variable


def stepped(optimizer: keras.optimizers.Optimizer, decay: object, gradient: np.ndarray) -> np.ndarray:
    """Return where one step leads from ones."""
    weight = keras.Variable(np.ones_like(gradient))
    optimizer.build([weight])
    optimizer.weight_decay.assign(decay)
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    return np.asarray(weight)


@pytest.mark.parametrize("kind", [ADAMW, VectorAdamW])
def test_a_slice_steps_as_it_would_alone(kind: type[keras.optimizers.AdamW]) -> None:
    gradient = np.array([[0.5, -1.0], [2.0, 0.25]], "float32")
    rates, decays = np.array([0.1, 0.01], "float32"), np.array([0.0, 0.5], "float32")
    stack = kind(learning_rate=lambda: keras.ops.convert_to_tensor(rates), weight_decay=0.0)
    decay_variable(stack, (2,))
    together = stepped(stack, decays, gradient)
    for index in range(2):
        single = keras.optimizers.AdamW(learning_rate=float(rates[index]), weight_decay=0.0)
        decay_variable(single)
        alone = stepped(single, decays[index], gradient[:, index])
        np.testing.assert_allclose(together[:, index], alone, rtol=1e-6)
    assert not np.allclose(together[:, 0], together[:, 1])


def test_a_traced_step_reads_the_decay_anew() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    optimizer = keras.optimizers.AdamW(learning_rate=1.0, weight_decay=0.0)
    decay = decay_variable(optimizer)
    model.compile(optimizer, "mse")

    def step() -> float:
        """Take a step without a gradient: only the decay moves the weight."""
        model.set_weights([np.ones((1, 1), "float32")])
        model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
        return float(model.get_weights()[0][0, 0])

    found = []
    for value in (0.0, 0.25, 0.5):
        decay.assign(value)
        found.append(step())
    assert found == [1.0, 0.75, 0.5]
