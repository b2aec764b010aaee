"""What the transfer measurements read: shipped folders as pools and test sets, the drawn far target, kept features."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from backbench.backbones.graph import preprocess
from backbench.config.backbone_config import BackboneConfig
from backbench.config.backbone_files import read_backbone
from backbench.config.config_files import read_named
from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.augment import resized
from backbench.data.arrays.file_formats import read_array, write_array
from backbench.data.ingest.pixels import PixelRule
from backbench.data.ingest.scan import examine, without_duplicates
from backbench.data.ingest.store import content_digest
from backbench.data.ingest.walk import walk
from backbench.features.activations import outputs
from backbench.results.records import fingerprint
from backbench.runtime.errors import ConfigError, DatasetError
from backbench.runtime.installation import deciding_versions
from backbench.runtime.source_code import PACKAGE, code_fingerprint, imported_modules, named_modules
from pretraining.transfer import far_target
from pretraining.transfer.subsets import TargetData

PRETRAINING = Path(__file__).parents[1]
LOADING = PACKAGE / "backbones/weights.py"
FAR_TARGET = "far_target"
FAR_TARGET_SEED = 0


def named_backbone(conf: Path, name: str) -> BackboneConfig:
    """Read the configuration of a backbone.

    Raises:
        ConfigError: there is none of that name.
    """
    return read_backbone(_configuration(conf / "backbone", name))


def named_data(conf: Path, name: str) -> TargetData:
    """Read a shipped data set, or draw the far target.

    Raises:
        ConfigError: there is none of that name.
        DatasetError: its images are not those that were shipped.
    """
    if name == FAR_TARGET:
        return drawn_data()
    config = read_named(_configuration(conf / "dataset", name), DatasetConfig)
    return shipped_data(config, conf.parent / "assets" / name)


def _configuration(folder: Path, name: str) -> Path:
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in names:
        raise ConfigError(f"expected one of {', '.join(names)} in {folder}, found {name}; correct it")
    return folder / f"{name}.yaml"


def shipped_data(config: DatasetConfig, folder: Path) -> TargetData:
    """Read a folder with `train` and `test`: its train images are the pool.

    Raises:
        DatasetError: the folder is missing, or holds other images than those whose digest the configuration pins.
    """
    config = replace(config, path=str(folder))
    tree = walk(folder, config)
    if tree.problems:
        raise DatasetError(*tree.problems)
    assert config.image_size_pixels is not None  # what is shipped says it
    rule = PixelRule(config.image_size_pixels, config.resize, config.depth_bits)
    seen = list(examine(tree.files, config, rule))
    files = without_duplicates([file for file, _ in seen])
    digest = content_digest(files)
    if config.digest not in (None, digest):
        raise DatasetError(f"{folder}: expected the images of digest {config.digest}, found {digest}; restore them")
    parts = {}
    for split in ("train", "test"):
        chosen = [
            (decoded.pixels, tree.classes.index(file.label))
            for file, (_, decoded) in zip(files, seen, strict=True)
            if file.is_usable and file.own_split == split and decoded.pixels is not None
        ]
        if not chosen:
            raise DatasetError(f"{folder}: expected images in {split}, found none; add them")
        parts[split] = np.stack([pixels for pixels, _ in chosen]), np.array([y for _, y in chosen], np.int32)
    return TargetData(config.name, digest, *parts["train"], *parts["test"])


def drawn_data() -> TargetData:
    """Draw the far target: 60 pool and 100 test images of each class, 64 pixels a side."""
    num_pool = far_target.POOL_PER_CLASS * far_target.NUM_CLASSES
    num_images = num_pool + far_target.TEST_PER_CLASS * far_target.NUM_CLASSES
    pool = far_target.draw(FAR_TARGET_SEED, range(num_pool))
    test = far_target.draw(FAR_TARGET_SEED, range(num_pool, num_images))
    digest = hashlib.sha256()
    for array in (*pool, *test):
        digest.update(array.data)
    return TargetData(FAR_TARGET, digest.hexdigest(), *pool, *test)


def features_of(model: keras.Model, backbone: BackboneConfig, images: np.ndarray) -> np.ndarray:
    """Return pooled features `(n, feature_dim)` float32 of uint8 images `(n, S, S, 3)`."""

    def prepared(batch: np.ndarray) -> np.ndarray:
        return np.asarray(preprocess(backbone, resized(batch, backbone.input_size_pixels)), dtype="float32")

    return outputs(model, images, prepared)


def _digest(images: np.ndarray) -> tuple[list[int], str]:
    return list(images.shape), hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def kept_features(
    folder: Path, weights: str, load: Callable[[], keras.Model], backbone: BackboneConfig, data: TargetData
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of pool and test, from `folder` where they are kept, else computed and kept there.

    Args:
        folder: Where a file is named by all that decides its content.
        weights: Names the weights that `load` loads.
        load: Called where there is something to compute only.
        backbone: Its graph, preprocessing and input size.
        data: The images.
    """
    own = imported_modules(Path(__file__), PRETRAINING)
    code = code_fingerprint(*own, LOADING, *named_modules(backbone.constructor, backbone.preprocessor))
    settings = (asdict(backbone), weights, keras.backend.backend(), deciding_versions())
    key = fingerprint(settings, code, [_digest(data.pool_images), _digest(data.test_images)])
    file = folder / f"{backbone.name}-{data.name}-{key}.npy"
    if not file.is_file():
        model = load()
        parts = [features_of(model, backbone, images) for images in (data.pool_images, data.test_images)]
        write_array(file, np.concatenate(parts))
    values = read_array(file, made_by="transfer")
    num_pool = len(data.pool_labels)
    return np.asarray(values[:num_pool]), np.asarray(values[num_pool:])
