"""The seeds that Keras sets, and the states of its random generators.

Keras seeds TensorFlow wherever it is installed, which would import it beside another backend. And it has no public
name for the variables that dropout and stochastic depth draw from, which `set_weights` does not reach.

Checked with Keras 3.15.1.
"""

from types import SimpleNamespace

import keras
import numpy as np
from keras.src.utils import rng_utils

from backbench.compat.networks.attributes import replaced


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and the Keras backend, and import no other one."""
    if keras.backend.backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
    else:
        seed_all_but_tensorflow(seed)


def seed_all_but_tensorflow(seed: int) -> None:
    """Seed as Keras does where TensorFlow is not installed."""
    with replaced(rng_utils, "tf", SimpleNamespace(available=False)):
        keras.utils.set_random_seed(seed)


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of all random generators of a model."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def reseed(state: keras.Variable, seed: int, stream: int = 0) -> None:
    """Set the state of a random generator, so that it draws what any other draws from this seed and stream."""
    state.assign(np.array([seed, stream], dtype="uint32"))
