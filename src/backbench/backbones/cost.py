"""What a model costs: its parameters, and the multiply-accumulates for one image.

Counted is what Keras's operations are asked to do while the model is traced on one image, whichever layer asks: so
layers that hide others, or that multiply without a kernel of their own (attention), count as they are. The trace is
symbolic: nothing is computed. Keras has no public name for such a trace, nor for the module that its own layers take
their operations from.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import keras
from keras.src import backend as source_backend
from keras.src import ops as source_ops


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
    return sum(call.macs for call in _multiplications(model))


def num_activations(model: keras.Model) -> int:
    """Estimate how many values the layers put out for one image, which a backward pass keeps.

    Each multiplication's output counts three times, for it is normalized and activated, or scaled and added.

    Args:
        model: As for `num_macs`.
    """
    return 3 * sum(call.num_outputs for call in _multiplications(model))


@dataclass(frozen=True)
class _Multiplication:
    macs: int
    num_outputs: int


def _multiplications(model: keras.Model) -> list[_Multiplication]:
    counted: list[_Multiplication] = []
    with _counting(counted):
        source_backend.compute_output_spec(model, keras.KerasTensor((1, *model.input_shape[1:]), "float32"))
    return counted


@contextmanager
def _counting(counted: list[_Multiplication]) -> Iterator[None]:
    """Note what each call of a multiplying operation of `keras.ops` costs."""
    with ExitStack() as patches:
        for module in (keras.ops, source_ops):
            for name, macs in _MACS.items():
                patches.enter_context(patch.object(module, name, _noting(getattr(module, name), macs, counted)))
        yield


def _noting(
    operation: Callable[..., Any], macs: Callable[..., int], counted: list[_Multiplication]
) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs)
        counted.append(_Multiplication(macs(output, *args, **kwargs), _size(output)))
        return output

    return noted


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
