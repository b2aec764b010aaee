"""Whether a fine-tuning step fits into memory: said before the first one, not by what the backend dies of."""

import math

import keras

from backbench.backbones.determinism import computes_on_gpu
from backbench.compat.networks.keras_graph import traced_calls
from backbench.config.strategy_config import StrategyConfig
from backbench.runtime.errors import MemoryLimitError
from backbench.runtime.hardware import free_memory_bytes, gpus

GIGABYTE = 10**9
BYTES_PER_VALUE = 4
COPIES_OF_TRAINED = 4  # the value, its gradient, and AdamW's two moments
# Every operation of `keras.ops` that multiplies activations by weights or by each other.
MULTIPLYING = ("conv", "depthwise_conv", "separable_conv", "matmul", "einsum", "dot_product_attention")


def num_activations(model: keras.Model) -> int:
    """Estimate how many values the layers put out for one image, which a backward pass keeps.

    Each multiplication's output counts three times, for it is normalized and activated, or scaled and added. The model
    has one input of `(batch, …)`, its other sides known.
    """
    return 3 * sum(math.prod(map(int, call.output.shape)) for call in traced_calls(model, *MULTIPLYING))


def training_bytes(model: keras.Model, batch_size: int) -> int:
    """Estimate what a training step holds: weights, gradients, moments, and the outputs of every layer for a batch.

    Weights that do not train count once. `batch_size` examples pass at once: a part of a batch, where gradients are
    accumulated.
    """
    trained = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    frozen = sum(math.prod(weight.shape) for weight in model.non_trainable_variables)
    width = 2 if keras.tree.flatten(model.outputs)[0].dtype in ("bfloat16", "float16") else BYTES_PER_VALUE
    return BYTES_PER_VALUE * (COPIES_OF_TRAINED * trained + frozen) + width * batch_size * num_activations(model)


def available_bytes() -> int | None:
    """Return the memory of the GPU that the backend computes on, or what this machine can still give; None: unknown."""
    if computes_on_gpu():
        return min((gpu.memory_bytes for gpu in gpus() if gpu.memory_bytes is not None), default=None)
    return free_memory_bytes()


def require_memory(model: keras.Model, strategy: StrategyConfig, available: int | None) -> None:
    """Refuse a fine-tuning step that cannot fit.

    Raises:
        MemoryLimitError: the estimate is over what is available, where that is known.
    """
    parts = strategy.accumulation_steps
    needed = training_bytes(model, strategy.batch_size // parts)
    if available is not None and needed > available:
        raise MemoryLimitError(
            f"expected a training step of {strategy.batch_size // parts} images to fit into "
            f"{available / GIGABYTE:.1f} GB, found that it needs about {needed / GIGABYTE:.1f} GB; "
            f"raise accumulation_steps in conf/strategy/{strategy.name}.yaml, move its boundary up, or take a smaller "
            "backbone"
        )
