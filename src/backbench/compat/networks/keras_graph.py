"""The calls of a Keras graph, and the layers inside a layer.

Keras has no public name for either: `Function.operations` has each operation once, however often it is called, and
`Model.layers` has no layer that another one holds.

Checked with Keras 3.15.1.
"""

from typing import Any

import keras


def calls_in_order(model: keras.Model) -> list[Any]:
    """Return the calls between a graph's inputs and outputs, in topological order; calls that make inputs are none.

    Each has its `operation`, its `input_tensors` and its `outputs`.
    """
    by_depth = keras.Function(model.inputs, model.outputs)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def nested_layers(operation: keras.Operation) -> list[keras.Layer]:
    """Return a layer and every layer inside it; none for an operation that is no layer."""
    return list(operation._flatten_layers()) if isinstance(operation, keras.Layer) else []
