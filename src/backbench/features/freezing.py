"""Say where the freeze boundary lies, and cut a model there into a frozen prefix and a trained suffix.

A functional model can be cut at every cut point: a place where the whole graph passes through
one tensor, so that suffix(prefix(x)) equals model(x).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import keras

from backbench.backbones.cut_points import CutPoint, cut_points
from backbench.compat.networks.keras_graph import nested_layers
from backbench.config.backbone_config import BackboneConfig
from backbench.config.strategy_config import INPUT, LAST_STAGE, OUTPUT, UNFREEZE
from backbench.runtime.errors import BoundaryError


@dataclass(frozen=True)
class CutModel:
    """A model cut at the freeze boundary.

    `prefix` maps preprocessed images to activations and `suffix` maps activations to pooled features.
    A missing half is the identity: there is no suffix at the boundary `output`, no prefix at `input`.
    """

    prefix: keras.Model | None
    suffix: keras.Model | None


def resolve_boundary(model: keras.Model, backbone: BackboneConfig, boundary: str) -> str:
    """Return the place that a freeze boundary means in this model: `output`, `input`, or the name of a layer.

    Args:
        model: The backbone's graph.
        backbone: Says what `last_stage` is.
        boundary: One of `StrategyConfig.boundaries`. `stage_4` is the last place whose side is 1/2^4 of the
            input's: C4 of a feature pyramid (https://arxiv.org/abs/1612.03144). `unfreeze=0.25` is the place above
            which the share of the layers with a kernel is nearest to 0.25; of two equally near, the higher.

    Raises:
        BoundaryError: the model has no such layer, stage or share, or more than one tensor passes beside it.
    """
    name = backbone.last_stage_boundary if boundary == LAST_STAGE else boundary
    if name in (OUTPUT, INPUT):
        return name
    points = cut_points(model)
    if name.startswith(UNFREEZE):
        return _at_share(model, points, name)
    return _stages(points).get(name) or _point(model, points, name).name


def cut(model: keras.Model, boundary: str) -> CutModel:
    """Cut a functional backbone of one input and one output; the layers are shared with it, not copied.

    The boundary is `output`, `input`, or the name of a layer, as `resolve_boundary` returns it.

    Raises:
        BoundaryError: there is no such layer, or more than one tensor passes beside it.
    """
    if boundary == OUTPUT:
        return CutModel(prefix=model, suffix=None)
    if boundary == INPUT:
        return CutModel(prefix=None, suffix=model)
    tensor = _point(model, cut_points(model), boundary).tensor
    return CutModel(keras.Model(model.inputs[0], tensor), keras.Model(tensor, model.outputs[0]))


def tapped_prefix(model: keras.Model, boundaries: Sequence[str]) -> keras.Model:
    """Return one model that computes several boundaries' activations in a single pass over the backbone.

    Args:
        model: One input and one output; the layers are shared with it, not copied.
        boundaries: At least one, resolved. `input` passes the images on as they are.

    Returns:
        Maps preprocessed images `(batch, height, width, 3)` to one output per boundary, in their order. As Keras has
        it, they are a list, or for a single boundary the bare output.

    Raises:
        BoundaryError: there is no such layer, or more than one tensor passes beside it.
    """
    points = cut_points(model)
    ends = {OUTPUT: model.outputs[0], INPUT: model.inputs[0]}
    taps = [ends[name] if name in ends else _point(model, points, name).tensor for name in boundaries]
    return keras.Model(model.inputs[0], taps)


def _point(model: keras.Model, points: Sequence[CutPoint], name: str) -> CutPoint:
    for point in points:
        if point.name == name:
            return point
    raise _impossible(model, points, name)


def _stages(points: Sequence[CutPoint]) -> dict[str, str]:
    """Map each stage to the last place in it, from the input to the output."""
    return {f"stage_{point.stage}": point.name for point in points if point.stage is not None}


def _at_share(model: keras.Model, points: Sequence[CutPoint], boundary: str) -> str:
    """Return the place which leaves the share of layers with a kernel above it nearest to the one asked for."""
    try:
        share = Fraction(boundary.removeprefix(UNFREEZE))
    except (ValueError, ZeroDivisionError):
        raise _impossible(model, points, boundary) from None
    if not 0 <= share <= 1:
        raise _impossible(model, points, boundary)
    # From output to input, so that min() keeps the higher of two; where nothing trains below, `input` says so.
    shares = {OUTPUT: Fraction(0)} | {point.name: point.share_above for point in reversed(points)}
    candidates = {name: above for name, above in shares.items() if above < 1} | {INPUT: Fraction(1)}
    return min(candidates, key=lambda name: abs(candidates[name] - share))


def _impossible(model: keras.Model, points: Sequence[CutPoint], found: str) -> BoundaryError:
    stages = ", ".join(_stages(points)) or "none here"
    return BoundaryError(
        f"expected a freeze boundary of {model.name} that one tensor passes through, found {found!r}; "
        f"use {OUTPUT}, {LAST_STAGE}, {INPUT}, unfreeze from 0 to 1, a stage ({stages}) "
        f"or a layer: {', '.join(point.name for point in points)}"
    )


def freeze_batch_norm(model: keras.Model) -> None:
    """Keep every BatchNormalization layer in inference mode, whatever `training` says.

    `trainable = False` is the only thing that does: called with `training=False`, a functional model
    still updates its moving statistics under a training step (Keras issue 20285). Compile afterwards.
    """
    for layer in nested_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
