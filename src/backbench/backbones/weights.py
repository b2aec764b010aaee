"""Load a backbone's weights without executing code, and only those that are pinned."""

import errno
import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import keras
import numpy as np

from backbench.backbones.efficientnet_pytorch import load_efficientnet_pytorch
from backbench.backbones.graph import build_graph
from backbench.backbones.timm_weights import load_timm
from backbench.backbones.weight_files import PUBLISHED, WeightFile, verify, weight_file
from backbench.compat.networks.keras_applications import given_no_weights, given_weights
from backbench.compat.networks.keras_random import seed_everything
from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.runtime.errors import WeightsError

KERAS_APPLICATIONS = "keras.applications."
# Those that are not Keras's own.
LAYOUTS = {"timm": load_timm, "efficientnet_pytorch": load_efficientnet_pytorch}
HDF5_BYTES_PER_VARIABLE = 8192  # for names, more than enough


def load_backbone(config: BackboneConfig, weights: WeightsConfig) -> keras.Model:
    """Build a backbone and give it its weights, from a file that is here already: nothing is fetched.

    Returns:
        A model of `(batch, size, size, 3)` preprocessed float32 to `(batch, feature_dim)` float32.

    Raises:
        WeightsError: the weights are missing, do not fit, or have another digest than the pinned one.
    """
    file = weight_file(config, weights)
    if file is None:
        seed_everything(weights.seed)
        return build_graph(config)
    verify(file)
    if file.layout in LAYOUTS:
        model = build_graph(config)
        LAYOUTS[file.layout](model, file.path)
        return model
    with _refusing_others(config.name, file.path):
        return _published(config, file) if weights.name == PUBLISHED else _filled(build_graph(config), file.path)


def _published(config: BackboneConfig, file: WeightFile) -> keras.Model:
    """Let the constructor take the weights, for the graph that they belong to may depend on them."""
    if config.constructor.startswith(KERAS_APPLICATIONS):
        with given_weights(file.path):
            return build_graph(config, weights="imagenet")
    with _no_partial_load():
        return build_graph(config, weights=str(file.path))


def _filled(model: keras.Model, path: Path) -> keras.Model:
    with _no_partial_load():
        model.load_weights(path)
    return model


def unfilled_backbone(config: BackboneConfig, *, weights_name: str) -> keras.Model:
    """Build the graph that `load_backbone` fills, with values of no meaning and without any file.

    Args:
        config: The backbone.
        weights_name: The name of the weights that it is for: published ones may belong to a graph of their own.
    """
    pretrained = config.pretrained
    is_kerass = pretrained is not None and pretrained.layout not in LAYOUTS
    if weights_name != PUBLISHED or not is_kerass or not config.constructor.startswith(KERAS_APPLICATIONS):
        return build_graph(config)
    with given_no_weights():
        return build_graph(config, weights="imagenet")


def fill(model: keras.Model, path: Path) -> None:
    """Give a model the weights that `save_weights` wrote of one like it.

    Raises:
        WeightsError: the file is of another model.
    """
    with _refusing_others(model.name, path):
        _filled(model, path)


@contextmanager
def _refusing_others(name: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: expected weights of {name}, found others ({reason}); use the file that was made for it"
        ) from error


@contextmanager
def _no_partial_load() -> Iterator[None]:
    """Refuse a file of another model, which only warns and leaves the layers that it lacks at their initial values."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def weights_digest(model: keras.Model) -> str:
    """Return the SHA-256 of every variable's shape, dtype and values, in the model's order."""
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


def save_weights(model: keras.Model, path: Path, *, half: bool = False) -> None:
    """Write a model's weights in Keras's `.weights.h5` layout, so that equal weights are equal bytes.

    Keras also writes layer names, some of which count how many layers the process has built.

    Args:
        model: Any Keras model.
        path: Ends in `.weights.h5`.
        half: Store kernels in float16; Keras casts on load. Vectors (biases, normalization parameters and
            statistics) stay float32: they are small, and a variance may lie outside float16's range.

    Raises:
        OSError: there is no room.
    """
    with TemporaryDirectory() as folder:
        named = Path(folder) / "named.weights.h5"
        _require_room(named.parent, model)
        model.save_weights(named)
        # In memory, for HDF5 does not fail on a full disk: it crashes the process.
        with h5py.File(named) as read, h5py.File(path, "w", driver="core", backing_store=False) as written:
            _copy_values(read, written, half=half)
            written.flush()
            image = written.id.get_file_image()
    path.write_bytes(image)


def _require_room(folder: Path, model: keras.Model) -> None:
    needed = sum(value.nbytes + HDF5_BYTES_PER_VARIABLE for value in model.get_weights())
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _copy_values(read: h5py.Group, written: h5py.Group, *, half: bool) -> None:
    for name in sorted(read):
        item = read[name]
        if isinstance(item, h5py.Group):
            _copy_values(item, written.create_group(name), half=half)
        else:
            values = item[()]
            is_kernel = values.dtype == np.float32 and values.ndim > 1
            written.create_dataset(name, data=values.astype("float16") if half and is_kernel else values)
