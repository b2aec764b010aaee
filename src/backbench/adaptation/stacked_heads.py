"""Many heads as one network: one more axis, the last, on every weight of a head; a slice of it is a head.

The slice axis stands last, so that one learning rate and one weight decay per slice, vectors of shape `(num_slices,)`,
broadcast over every weight and every moment in Keras's own AdamW. Slices share nothing that trains: the gradient of
the summed loss with respect to a slice is the gradient of that slice's own loss.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from backbench.adaptation.heads import STANDARDISE
from backbench.config.strategy_config import HeadConfig


class StackedDense(keras.layers.Layer):  # type: ignore[misc] # Keras carries no types
    """A dense layer per slice: `(batch, dim, slices or 1)` to `(batch, units, slices)`.

    An input of one slice is shared by all of them, which makes one matrix product of the whole stack.
    """

    def __init__(self, units: int, num_slices: int, *, activation: str | None = None, name: str) -> None:
        super().__init__(name=name)
        self.units = units
        self.num_slices = num_slices
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dim = input_shape[1]
        # Zeros: every slice is given its values before it trains.
        self.kernel = self.add_weight((dim, self.units, self.num_slices), "zeros", name="kernel")
        self.bias = self.add_weight((self.units, self.num_slices), "zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        if inputs.shape[2] == 1 and self.num_slices > 1:
            dim = inputs.shape[1]
            flat = keras.ops.matmul(inputs[:, :, 0], keras.ops.reshape(self.kernel, (dim, -1)))
            sums = keras.ops.reshape(flat, (-1, self.units, self.num_slices))
        else:
            sums = keras.ops.einsum("bdk,duk->buk", inputs, self.kernel)
        return self.activation(sums + self.bias)


class StackedDropout(keras.layers.Layer):  # type: ignore[misc] # Keras carries no types
    """Dropout with a random state per slice, so that a slice drops what it would drop alone.

    Maps `(batch, dim, slices or 1)` to `(batch, dim, slices)`; outside training, to what it is given.
    """

    def __init__(self, rate: float, num_slices: int, *, name: str) -> None:
        super().__init__(name=name)
        self.rate = rate
        self.generators = [keras.random.SeedGenerator(seed=0) for _ in range(num_slices)]

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        is_shared = inputs.shape[2] == 1
        slices = [
            keras.random.dropout(inputs[:, :, 0 if is_shared else index], self.rate, seed=generator)
            for index, generator in enumerate(self.generators)
        ]
        return keras.ops.stack(slices, axis=-1)


def build_stack(
    feature_dim: int, num_classes: int, config: HeadConfig, *, num_slices: int, shared_batches: bool
) -> keras.Model:
    """Build a stack of heads: features to logits of shape `(batch, num_classes, num_slices)`.

    Each head has the form that `heads.build_head` gives it. With `shared_batches` all of them see the same batch,
    `(batch, feature_dim, 1)`; else each its own, `(batch, feature_dim, num_slices)`.
    """
    features = keras.Input((feature_dim, 1 if shared_batches else num_slices), name="features")
    # The statistics stand on axis 1 and are the same for every slice.
    hidden = keras.layers.BatchNormalization(
        axis=1, center=False, scale=False, epsilon=1e-12, trainable=False, name=STANDARDISE
    )(features)
    if config.hidden_units:
        hidden = StackedDense(config.hidden_units, num_slices, activation="relu", name="hidden")(hidden)
    if config.dropout:
        hidden = StackedDropout(config.dropout, num_slices, name="dropout")(hidden)
    logits = StackedDense(num_classes, num_slices, name="logits")(hidden)
    return keras.Model(features, logits, name="stacked_heads")


def stacked_values(heads: Sequence[Sequence[np.ndarray]], stack: keras.Model) -> list[np.ndarray]:
    """Gather the weights of heads, each in the order of `head.get_weights()`, into those of a stack.

    What does not train, the standardisation, is that of the first head.

    Raises:
        ValueError: the heads standardise differently.
    """
    values = []
    for position, variable in enumerate(stack.weights):
        of_heads = [head[position] for head in heads]
        if variable.shape == of_heads[0].shape:
            if any(not np.array_equal(of_heads[0], value) for value in of_heads):
                raise ValueError("expected heads with equal standardisation, found different ones")
            values.append(of_heads[0])
        else:
            values.append(np.stack(of_heads, axis=-1))
    return values


def slice_values(stack: keras.Model, values: Sequence[np.ndarray], index: int) -> list[np.ndarray]:
    """Return the weights of one head out of those of its stack, in the order of `head.get_weights()`."""
    trained = {id(variable) for variable in stack.trainable_variables}
    return [
        np.ascontiguousarray(value[..., index]) if id(variable) in trained else value
        for variable, value in zip(stack.weights, values, strict=True)
    ]
