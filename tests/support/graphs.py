"""Where a graph can be cut, by name."""

import keras

from backbench.backbones.articulation import articulations


def articulation_points(model: keras.Model) -> list[str]:
    return [point.name for point in articulations(model)]
