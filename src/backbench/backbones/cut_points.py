"""Where a model can be cut, and how deep each place lies.

The walk goes over the calls of the graph (Keras's nodes), not over its layers: a layer may be called
more than once, in this model or in another that shares it, and an operation such as `x + y` is no layer.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import keras

from backbench.compat.networks.keras_graph import calls_in_order, nested_layers
from backbench.runtime.errors import BoundaryError


@dataclass(frozen=True)
class CutPoint:
    """A tensor, strictly between input and output, that the whole graph passes through.

    Its `name` is that of the layer or operation that makes it. `share_above` is the share of the layers with a kernel
    that come after it. `stage` is k where the side is 1/2^k of the input's, and None where there is no such k.
    """

    name: str
    tensor: keras.KerasTensor
    share_above: Fraction
    stage: int | None


def cut_points(model: keras.Model) -> list[CutPoint]:
    """Return every place where a model can be cut, from its input to its output.

    Left out is a place between two uses of the same weights, which would be frozen below it and trained above. A layer
    without weights that is called several times is the name of its last call. A nested model counts as one layer.

    Raises:
        BoundaryError: the model is not a graph with one input and one output.
    """
    calls = graph_calls(model)
    scales = _scales(model.inputs[0], calls)
    shares_above = _shares_above(calls)
    shared = _between_shared_uses(calls)
    found = []
    for index in _single_tensors(model.inputs[0], model.outputs[0], calls):
        if index not in shared:
            name, tensor = calls[index].operation.name, calls[index].outputs[0]
            found.append(CutPoint(name, tensor, shares_above[index], _stage(calls[index], scales[id(tensor)])))
    return found


def graph_calls(model: keras.Model) -> list[Any]:
    """Return the calls between a model's input and its output, in topological order.

    Raises:
        BoundaryError: the model is not a graph with one input and one output.
    """
    if not _is_chain(model):
        raise BoundaryError(
            f"expected a functional model with one input and one output, found {model.name}, which is not one; "
            "build it from keras.Input to one tensor"
        )
    return calls_in_order(model)


def _is_chain(operation: keras.Operation) -> bool:
    """Say whether an operation is itself a graph, from one input to one output."""
    return all(len(getattr(operation, ends, None) or ()) == 1 for ends in ("inputs", "outputs"))


def kernels(operation: keras.Operation) -> set[int]:
    """Return an identity for each layer with a kernel: convolutions of every kind, dense layers."""
    found = (getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None)) for layer in nested_layers(operation))
    return {id(kernel) for kernel in found if kernel is not None}


def _single_tensors(source: keras.KerasTensor, sink: keras.KerasTensor, calls: list[Any]) -> Iterator[int]:
    """Yield the positions of the calls, but the last, whose output the whole graph passes through.

    Keeps the tensors that are made but not yet fully consumed; where that set has one element, there it is.
    """
    uses = Counter(id(tensor) for call in calls for tensor in call.input_tensors)
    uses[id(sink)] += 1
    live = {id(source)}
    for index, call in enumerate(calls[:-1]):
        uses.subtract(id(tensor) for tensor in call.input_tensors)
        made = {id(tensor) for tensor in call.outputs}
        live = {tensor for tensor in live | made if uses[tensor] > 0}
        if live == made and len(made) == 1:
            yield index


def _between_shared_uses(calls: list[Any]) -> set[int]:
    """Return the positions that no cut may have: weights would be shared across it, or its layer is called again."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    last_call: dict[int, int] = {}
    for index, call in enumerate(calls):
        last_call[id(call.operation)] = index
        for weight in getattr(call.operation, "weights", ()):
            first.setdefault(id(weight), index)
            last[id(weight)] = index
    between = {index for weight, start in first.items() for index in range(start, last[weight])}
    return between | {index for index, call in enumerate(calls) if last_call[id(call.operation)] != index}


def _shares_above(calls: list[Any]) -> list[Fraction]:
    """Return, for each call, the share of the layers with a kernel that are first called after it."""
    seen: set[int] = set()
    below = []
    for call in calls:
        seen |= kernels(call.operation)
        below.append(len(seen))
    return [Fraction(len(seen) - count, max(1, len(seen))) for count in below]


def _scales(source: keras.KerasTensor, calls: list[Any]) -> dict[int, float]:
    """Map each tensor's id to how many times smaller its side is than the input's; infinity where it has no side.

    Strides count, not sides: an unpadded convolution loses a border too, and a small side is rounded. Where paths
    meet, the finest decides: the gate of a squeeze-and-excitation block is a single pixel.
    """
    scales = {id(source): 1.0}
    for call in calls:
        finest = min(call.input_tensors, key=lambda tensor: scales[id(tensor)])
        for made in call.outputs:
            scales[id(made)] = scales[id(finest)] * _reduction(call.operation, finest, made)
    return scales


def _reduction(operation: keras.Operation, before: keras.KerasTensor, after: keras.KerasTensor) -> float:
    if len(before.shape) != 4 or len(after.shape) != 4:
        return math.inf
    if _is_chain(operation):
        return _scales(operation.inputs[0], graph_calls(operation))[id(operation.outputs[0])]
    strides = getattr(operation, "strides", None)
    if strides is not None:
        return float(keras.tree.flatten(strides)[0])
    sides = before.shape[1], after.shape[1]
    return 1.0 if None in sides else max(1.0, 2.0 ** round(math.log2(sides[0] / sides[1])))


def _stage(call: Any, scale: float) -> int | None:
    made = call.outputs[0].shape
    is_padding = (
        len(made) == 4 and made[1] is not None and made[1] > max(tensor.shape[1] or 0 for tensor in call.input_tensors)
    )
    is_stage = not is_padding and 2 <= scale < math.inf and math.log2(scale).is_integer()
    return int(math.log2(scale)) if is_stage else None
