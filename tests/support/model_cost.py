"""What a model costs, as papers and timm count it: its parameters, and the multiply-accumulates for one image.

Counted is what Keras's operations are asked to do while the model is traced on one image, whichever layer asks: so
layers that hide others, or that multiply without a kernel of their own (attention), count as they are.
"""

import math
from collections.abc import Callable
from typing import Any

import keras

from backbench.compat.networks.keras_operations import traced_calls


def num_parameters(model: keras.Model) -> int:
    """Return the number of weights, BatchNormalization's statistics included, states of random generators not."""
    return sum(math.prod(weight.shape) for weight in model.weights if "seed_generator" not in weight.path)


def num_macs(model: keras.Model) -> int:
    """Return the multiply-accumulates of one image.

    Counted are convolutions, matrix products and attention, as fvcore and timm count; not counted is what goes
    element by element: normalization, activations, pooling, scaling.

    Args:
        model: One input of `(batch, …)`, its other sides known.
    """
    calls = traced_calls(model, *_MACS)
    return sum(_MACS[call.name](call.output, *call.arguments, **call.options) for call in calls)


def _size(tensor: Any) -> int:
    return math.prod(int(side) for side in tensor.shape)


def _convolution(output: Any, inputs: Any, kernel: Any, *_: Any, **__: Any) -> int:
    """Each output is a sum over the kernel's window and the input channels of its group."""
    return _size(output) * math.prod(kernel.shape[:-1])


def _depthwise(output: Any, inputs: Any, kernel: Any, *_: Any, **__: Any) -> int:
    return _size(output) * math.prod(kernel.shape[:2])


def _separable(output: Any, inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, *_: Any, **__: Any) -> int:
    pixels = _size(output) // output.shape[-1]
    channels = depthwise_kernel.shape[2] * depthwise_kernel.shape[3]
    return pixels * (math.prod(depthwise_kernel.shape) + channels * int(pointwise_kernel.shape[-1]))


def _matrix_product(output: Any, left: Any, right: Any) -> int:
    return _size(output) * int(left.shape[-1])


def _einsum(output: Any, equation: str, *operands: Any, **_: Any) -> int:
    """Every index runs over its range once; `...` stands for the axes that are not named."""
    sides: dict[str, int] = {}
    for labels, operand in zip(equation.split("->")[0].split(","), operands, strict=True):
        named = labels.strip()
        dots = len(operand.shape) - len(named.replace("...", ""))
        spelled = named.replace("...", "".join(chr(ord("A") + axis) for axis in range(dots)))
        sides.update(zip(spelled, map(int, operand.shape), strict=True))
    return math.prod(sides.values())


def _attention(output: Any, query: Any, key: Any, *_: Any, **__: Any) -> int:
    """Scores, and the sum over values that they weigh: `(batch, tokens, heads, dim)` each."""
    return 2 * _size(query) * int(key.shape[1])


_MACS: dict[str, Callable[..., int]] = {
    "conv": _convolution,
    "depthwise_conv": _depthwise,
    "separable_conv": _separable,
    "matmul": _matrix_product,
    "einsum": _einsum,
    "dot_product_attention": _attention,
}
