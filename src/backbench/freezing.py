"""Find where a model can be cut, and cut it into a frozen prefix and a trained suffix.

A functional model can be cut at every single-tensor articulation point: a place where the whole
graph passes through one tensor, so that suffix(prefix(x)) equals model(x).
"""

from collections import Counter
from dataclasses import dataclass

import keras

from backbench.config import BackboneConfig, StrategyConfig
from backbench.errors import BoundaryError

OUTPUT, INPUT, LAST_STAGE = "output", "input", "last_stage"


@dataclass(frozen=True)
class CutModel:
    """A model cut at the freeze boundary.

    `prefix` maps preprocessed images to activations and `suffix` maps activations to pooled features.
    A missing half is the identity: there is no suffix at the boundary `output`, no prefix at `input`.
    """

    boundary: str
    prefix: keras.Model | None
    suffix: keras.Model | None


def _tensors(structure: object) -> list[keras.KerasTensor]:
    return [tensor for tensor in keras.tree.flatten(structure) if isinstance(tensor, keras.KerasTensor)]


def articulation_points(model: keras.Model) -> list[str]:
    """Return the names of the layers whose output alone carries the whole graph, from input to output.

    Sweeps the graph in topological order and keeps the tensors that are made but not yet fully
    consumed; where that set has one element, the model can be cut.
    """
    remaining: Counter[int] = Counter()
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            remaining.update(id(tensor) for tensor in _tensors(layer.input))
    live: set[int] = set()
    points = []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            for tensor in _tensors(layer.input):
                remaining[id(tensor)] -= 1
                if remaining[id(tensor)] == 0:
                    live.discard(id(tensor))
        made = _tensors(layer.output)
        live.update(id(tensor) for tensor in made)
        if len(live) == 1 and len(made) == 1:
            points.append(layer.name)
    return points


def cut(model: keras.Model, boundary: str) -> CutModel:
    """Cut a functional backbone at a layer's output.

    Args:
        model: One input and one output; the layers are shared with it, not copied.
        boundary: `output`, `input`, or the name of a layer.

    Raises:
        BoundaryError: there is no such layer, or more than one tensor passes beside it.
    """
    if boundary == OUTPUT:
        return CutModel(boundary, prefix=model, suffix=None)
    if boundary == INPUT:
        return CutModel(boundary, prefix=None, suffix=model)
    possible = articulation_points(model)
    if boundary not in possible:
        raise BoundaryError(
            f"expected a freeze boundary of {model.name} that one tensor passes through, found {boundary!r}; "
            f"use output, input, or one of: {', '.join(possible)}"
        )
    tensor = model.get_layer(boundary).output
    return CutModel(boundary, prefix=keras.Model(model.input, tensor), suffix=keras.Model(tensor, model.output))


def cut_for(model: keras.Model, backbone: BackboneConfig, strategy: StrategyConfig) -> CutModel:
    """Cut a backbone where the strategy freezes it.

    Raises:
        BoundaryError: the graph cannot be cut there.
    """
    boundary = backbone.last_stage_boundary if strategy.boundary == LAST_STAGE else strategy.boundary
    return cut(model, boundary)


def freeze_batch_norm(model: keras.Model) -> None:
    """Keep every BatchNormalization layer in inference mode, whatever `training` says.

    `trainable = False` is the only thing that does: called with `training=False`, a functional model
    still updates its moving statistics under a training step (Keras issue 20285). Compile afterwards.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
