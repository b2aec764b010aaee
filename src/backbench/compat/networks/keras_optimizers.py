"""AdamW whose rates are variables, one for all weights or a vector along their last axis.

The step that Keras traces keeps a weight decay that is a number, and reads one that is a variable anew. Keras's own
update multiplies by both rates in a way that broadcasts; the one that it has for PyTorch takes scalars alone, so that
there the private method is overridden that applies the decay.

Checked with Keras 3.15.1.
"""

from collections.abc import Sequence

import keras


class VectorAdamW(keras.optimizers.AdamW):  # type: ignore[misc] # Keras carries no types
    """AdamW whose learning rate and weight decay may be vectors, where the backend has one that takes scalars alone."""

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        for variable in variables:
            if self._use_weight_decay(variable):
                variable.assign(variable * (1 - self.weight_decay * self.learning_rate))


# Keras puts PyTorch's fused AdamW in place of its own, but not in place of what is made of it.
ADAMW = VectorAdamW if keras.backend.backend() == "torch" else keras.optimizers.AdamW


def decay_variable(optimizer: keras.optimizers.Optimizer, shape: tuple[int, ...] = ()) -> keras.Variable:
    """Let an AdamW take its weight decay from a variable of its own, and return that; it is zero until assigned."""
    variable = optimizer.add_variable(shape, "zeros", name="weight_decay")
    optimizer.weight_decay = variable
    return variable
