"""Load a backbone's weights without executing code, and only those that are pinned."""

import hashlib
import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import keras
import numpy as np

from backbench.artifacts import file_sha256
from backbench.backbones.graph import build_graph
from backbench.config import BackboneConfig, WeightsConfig
from backbench.errors import WeightsError

STALLED_SECONDS = 10.0


@contextmanager
def _impatient() -> Iterator[None]:
    """Let a machine without a network say so within seconds, not minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _imagenet(config: BackboneConfig) -> keras.Model:
    if config.width != 1.0:
        raise WeightsError(
            f"expected a backbone of width 1.0 for weights=imagenet, found {config.name} of width {config.width}; "
            f"use weights=formula, or the backbone {config.name.removesuffix('_slim')}"
        )
    try:
        with _impatient():
            return build_graph(config, weights="imagenet")
    except Exception as error:
        # Keras raises a bare Exception that names the address, and a ValueError for a wrong digest.
        address = re.search(r"https?://\S+?(?=:? |$)", str(error))
        if address is None and "corrupted" not in str(error):
            raise
        name = Path(address.group()).name if address else "…"
        raise WeightsError(
            f"expected the ImageNet weights of {config.name} in {_keras_models() / name}, found none that is whole, "
            f"and could not fetch them ({str(error).splitlines()[0]}); put it there, or use weights=formula"
        ) from error


def _keras_models() -> Path:
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def _verified(path: Path, expected: str, source: str) -> Path:
    if not path.is_file():
        raise WeightsError(f"expected a weight file at {path}, found nothing there; put it there, or correct {source}")
    found = file_sha256(path)
    if found != expected:
        raise WeightsError(
            f"{path}: expected SHA-256 {expected}, found {found}; fetch the file again, "
            f"or pin the new digest in {source} if you trust it"
        )
    return path


def _weight_file(config: BackboneConfig, weights: WeightsConfig) -> Path:
    if weights.name == "formula":
        source = f"conf/backbone/{config.name}.yaml"
        if config.formula is None:
            raise WeightsError(
                f"expected `formula` in {source}, found none: no formula weights are shipped for {config.name}; "
                "use weights=imagenet, file or random"
            )
        return _verified(Path(config.formula.file), config.formula.sha256, source)
    if weights.path is None or config.name not in weights.sha256:
        raise WeightsError(
            f"expected `path` and `sha256.{config.name}` in conf/weights/{weights.name}.yaml, found "
            f"path {weights.path} and digests of {sorted(weights.sha256)}; add them"
        )
    path = Path(weights.path.format(backbone=config.name))
    return _verified(path, weights.sha256[config.name], f"conf/weights/{weights.name}.yaml")


def load_backbone(config: BackboneConfig, weights: WeightsConfig) -> keras.Model:
    """Build a backbone and give it its weights.

    Returns:
        A model of `(batch, size, size, 3)` preprocessed float32 to `(batch, feature_dim)` float32.

    Raises:
        WeightsError: the weights are missing, do not fit, or have another digest than the pinned one.
    """
    if weights.name == "imagenet":
        return _imagenet(config)
    if weights.name == "random":
        keras.utils.set_random_seed(weights.seed)
        return build_graph(config)
    path = _weight_file(config, weights)
    model = build_graph(config)
    try:
        with warnings.catch_warnings():
            # A file of another model only warns, and leaves the layers that it lacks at their initial values.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: expected weights of {config.name}, found others ({reason}); use the file that was made for it"
        ) from error
    return model


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
    """
    with TemporaryDirectory() as folder:
        named = Path(folder) / "named.weights.h5"
        model.save_weights(named)
        with h5py.File(named) as read, h5py.File(path, "w") as written:
            _copy_values(read, written, half=half)


def _copy_values(read: h5py.Group, written: h5py.Group, *, half: bool) -> None:
    for name in sorted(read):
        item = read[name]
        if isinstance(item, h5py.Group):
            _copy_values(item, written.create_group(name), half=half)
        else:
            values = item[()]
            is_kernel = values.dtype == np.float32 and values.ndim > 1
            written.create_dataset(name, data=values.astype("float16") if half and is_kernel else values)
