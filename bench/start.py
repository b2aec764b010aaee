"""What every arm starts from: one weights file, and the same initial head; made once, before any clock.

The weights are drawn from a seed, for want of a network. So that the network is as well conditioned as a pretrained
one, residual branches start small, and the statistics of every BatchNormalization are set to those of a batch of
training images. Else ten epochs of fine-tuning multiply the rounding of a single sum into points of accuracy.
"""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from backbench.adaptation.heads import build_head, standardise
from backbench.backbones.graph import build_graph
from backbench.backbones.weights import load_backbone, save_weights
from backbench.config.backbone_config import WeightsConfig
from backbench.config.config import CellConfig
from backbench.features.activations import Activations
from backbench.runtime.atomic_files import replacing
from backbench.runtime.digests import file_sha256
from bench.images import Images, load_images
from bench.studies import Study

WEIGHTS, HEAD = "start.weights.h5", "head.npz"
BATCH_SIZE = 128
NUM_CALIBRATION_IMAGES = 64
# Of the BatchNormalization that ends a residual branch; 0 is the usual start (https://arxiv.org/abs/1706.02677), where
# the branch would add nothing to the features.
RESIDUAL_GAMMA = 0.25


def make_start(study: Study, folder: Path) -> None:
    """Write the weights file and the initial head, unless they are there."""
    if (folder / HEAD).is_file():
        return
    images = load_images(study, folder)
    backbone = load_backbone(study.config.backbone, study.config.weights)
    shrink_residual_branches(backbone)
    set_batch_norm_statistics(backbone, images.train[:NUM_CALIBRATION_IMAGES])
    with replacing(folder / WEIGHTS) as temporary:
        save_weights(backbone, temporary)
    head = initial_head(study, backbone, images)
    with replacing(folder / HEAD) as temporary, temporary.open("wb") as file:
        np.savez(file, *head.get_weights())


def shrink_residual_branches(model: keras.Model) -> None:
    """Set gamma of the BatchNormalization that ends each residual branch."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Add):
            # keras.applications adds the branch to the shortcut, in this order.
            last = layer.input[-1]._keras_history.operation
            if isinstance(last, keras.layers.BatchNormalization):
                last.gamma.assign(np.full(last.gamma.shape, RESIDUAL_GAMMA))


def set_batch_norm_statistics(model: keras.Model, images: np.ndarray) -> None:
    """Set every BatchNormalization's statistics to those of one batch, layer after layer."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def initial_head(study: Study, backbone: keras.Model, images: Images) -> keras.Model:
    """Return the head that this project starts from at its search's seed: drawn, and standardised to the features."""
    head = new_head(study, num_classes=int(images.train_labels.max()) + 1)
    backbone.compile(jit_compile=False)
    features = backbone.predict(images.train, batch_size=BATCH_SIZE, verbose=0)
    standardise(head, Activations(features[None], images.train_labels))
    return head


def new_head(study: Study, *, num_classes: int) -> keras.Model:
    """Return a head that is drawn from the search's seed."""
    config = study.config
    return build_head(config.backbone.feature_dim, num_classes, config.strategy.head, seed=config.search.seed)


def load_head(folder: Path) -> list[np.ndarray]:
    """Read the initial head's values."""
    with np.load(folder / HEAD) as values:
        return [values[name] for name in values.files]


def load_start(study: Study, folder: Path) -> keras.Model:
    """Build the backbone and load the weights file, as a user does with a pretrained network."""
    backbone = build_graph(study.config.backbone)
    backbone.load_weights(folder / WEIGHTS)
    return backbone


def config_from_start(study: Study, folder: Path) -> CellConfig:
    """Return the study's configuration with the weights file pinned."""
    path = (folder / WEIGHTS).resolve()
    weights = WeightsConfig(seed=0, name="file", path=str(path), sha256={study.backbone: file_sha256(path)})
    return replace(study.config, weights=weights)
