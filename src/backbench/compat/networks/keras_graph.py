"""The calls of a Keras graph, the layers inside a layer, and the operations that are called while a model is traced.

Keras has no public name for the first two: `Function.operations` has each operation once, however often it is called,
and `Model.layers` has no layer that another one holds. Nor does it count operations itself, or have a public name for a
symbolic trace that runs through nested graphs, or for the module that its own layers take their operations from.

Checked with Keras 3.15.1.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any

import keras
from keras.src import backend as source_backend
from keras.src import ops as source_ops

from backbench.compat.networks.attributes import replaced


def calls_in_order(model: keras.Model) -> list[Any]:
    """Return the calls between a graph's inputs and outputs, in topological order; calls that make inputs are none.

    Each has its `operation`, its `input_tensors` and its `outputs`.
    """
    by_depth = keras.Function(model.inputs, model.outputs)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def nested_layers(operation: keras.Operation) -> list[keras.Layer]:
    """Return a layer and every layer inside it; none for an operation that is no layer."""
    return list(operation._flatten_layers()) if isinstance(operation, keras.Layer) else []


@dataclass(frozen=True)
class OperationCall:
    """A call of an operation of `keras.ops` on symbolic tensors."""

    name: str
    output: Any
    arguments: Sequence[Any]
    options: Mapping[str, Any]


def traced_calls(model: keras.Model, *names: str) -> list[OperationCall]:
    """Trace a model on one image, computing nothing, and return the calls of the named operations.

    Whatever layer asks is seen: layers that hide others, or that multiply without a kernel of their own.

    Args:
        model: One input of `(batch, …)`, its other sides known.
        names: Of functions of `keras.ops`.
    """
    calls: list[OperationCall] = []
    with ExitStack() as replacements:
        for module, name in product((keras.ops, source_ops), names):
            replacements.enter_context(replaced(module, name, _noted(name, getattr(module, name), calls)))
        source_backend.compute_output_spec(model, keras.KerasTensor((1, *model.input_shape[1:]), "float32"))
    return calls


def _noted(name: str, operation: Callable[..., Any], calls: list[OperationCall]) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        output = operation(*arguments, **options)
        calls.append(OperationCall(name, output, arguments, options))
        return output

    return noted
