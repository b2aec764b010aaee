"""Where a graph can be cut, by name."""

import keras

from backbench.backbones.cut_points import cut_points


def cut_point_names(model: keras.Model) -> list[str]:
    return [point.name for point in cut_points(model)]
