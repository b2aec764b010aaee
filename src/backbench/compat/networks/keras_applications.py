"""The graph that a constructor of keras.applications makes for its ImageNet weights, without fetching them.

It has to be asked with weights="imagenet": EfficientNet has one Rescaling more then, and the same weights in the graph
without it would load, and be wrong. It then fetches by a function that it looks up in a private module, and loads by
the model's own method; there is no public way to give it a file of another name, or none.

Checked with Keras 3.15.1.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
from keras.src.utils import file_utils

from backbench.compat.networks.attributes import replaced


@contextmanager
def given_weights(path: Path) -> Iterator[None]:
    """Let a constructor that asks for its ImageNet weights be given this file."""
    with replaced(file_utils, "get_file", lambda *_, **__: str(path)), warnings.catch_warnings():
        # MobileNet says which file it would fetch for other sizes; which one is taken stands in conf/backbone.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        yield


@contextmanager
def given_no_weights() -> Iterator[None]:
    """Let a constructor that asks for its ImageNet weights go on without any."""
    with given_weights(Path("never-read.h5")), replaced(keras.Model, "load_weights", lambda *_, **__: None):
        yield
