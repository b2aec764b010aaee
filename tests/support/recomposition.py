"""How far suffix(prefix(x)) is from model(x), at the places where a cut is likeliest to go wrong."""

import keras
import numpy as np

from backbench.backbones.cut_points import cut_points
from backbench.config.strategy_config import OUTPUT
from backbench.features.freezing import cut, tapped_prefix

LARGEST_RELATIVE_ERROR = 1e-5


def places_to_try(model: keras.Model) -> list[str]:
    """The first, the middle and the last place, the last of every stage, and three drawn ones; in order."""
    points = cut_points(model)
    names = [point.name for point in points]
    drawn = np.random.default_rng(0).choice(names, size=min(3, len(names)), replace=False)
    stages = {point.stage: point.name for point in points}
    chosen = {names[0], names[len(names) // 2], names[-1], *stages.values(), *drawn}
    return [name for name in names if name in chosen]


def worst_relative_error(model: keras.Model) -> float:
    """The largest difference that a cut makes to an output, relative to the largest output."""
    for weight in model.weights:
        if weight.name == "gamma":  # ConvNeXt starts its blocks at 1e-6 of their size: nobody would miss one.
            weight.assign(np.ones(weight.shape))
    images = np.random.default_rng(0).uniform(0, 255, size=(2, *model.input_shape[1:])).astype("float32")
    expected = np.asarray(model(images))
    scale = np.abs(expected).max()
    assert np.isfinite(scale)
    # Otherwise a wrong cut would make no difference either.
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * scale
    places = places_to_try(model)
    *activations, output = tapped_prefix(model, [*places, OUTPUT])(images)
    errors = [np.abs(np.asarray(output) - expected).max()]
    for place, activation in zip(places, activations, strict=True):
        halves = cut(model, place)
        assert halves.prefix is not None
        assert halves.suffix is not None
        if place == places[len(places) // 2]:  # The taps are what the prefixes compute; once is enough to show it.
            np.testing.assert_array_equal(np.asarray(activation), np.asarray(halves.prefix(images)))
        errors.append(np.abs(np.asarray(halves.suffix(activation)) - expected).max())
    return float(max(errors) / scale)
