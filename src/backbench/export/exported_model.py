"""A cell's final model, built from its folder alone: RGB images of any size to probabilities."""

from pathlib import Path

import keras
import numpy as np
from PIL import Image

from backbench.adaptation.heads import above_boundary, build_head
from backbench.backbones.determinism import computing_in
from backbench.backbones.weights import fill, unfilled_backbone
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import to_typed
from backbench.config.dataset_config import NO_AUGMENTATION
from backbench.config.strategy_config import StrategyConfig
from backbench.data.ingest.deep import scaled
from backbench.data.ingest.pixels import PixelRule
from backbench.evaluation.metrics import probabilities_of
from backbench.features.activations import ComputedActivations, PreparedImages, outputs
from backbench.features.freezing import cut, resolve_boundary
from backbench.results.model_folder import DESCRIPTION, FROZEN, read_description, seed_file, verify_weights
from backbench.runtime.errors import DatasetError


class ExportedModel:
    """Prepares images as the benchmark does, and computes what its predictions were computed from."""

    def __init__(self, folder: Path) -> None:
        """Build the model from `model.yaml` and give it the weights beside it, whose digests are compared first.

        Raises:
            ArtifactError: there is no `model.yaml`.
            WeightsError: a file of weights is missing, or is another one.
        """
        description = read_description(folder, made_by="train")
        verify_weights(folder, description)
        self.classes = tuple(description.classes)
        dataset = description.configuration["dataset"]
        self._rule = PixelRule(int(dataset["image_size_pixels"]), dataset["resize"], dataset["depth_bits"])
        where = str(folder / DESCRIPTION)
        self._backbone = to_typed(description.configuration["backbone"], BackboneConfig, where=where)
        with computing_in(description.configuration["precision"]):
            weights_name = description.configuration["weights"]["name"]
            graph = unfilled_backbone(self._backbone, weights_name=weights_name)
        halves = cut(graph, resolve_boundary(graph, self._backbone, description.boundary))
        strategy = to_typed(description.configuration["strategy"], StrategyConfig, where=where)
        head = build_head(self._backbone.feature_dim, len(self.classes), strategy.head, seed=0)
        self._prefix = halves.prefix
        self._trained: keras.Model = above_boundary(halves.suffix, head)
        if self._prefix is not None:
            fill(self._prefix, folder / FROZEN)
        fill(self._trained, folder / seed_file(description.seed))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class.

        Args:
            images: uint8 RGB `(n, height, width, 3)`, resized as `prepare` does: cropped, padded or squashed. Where the
                benchmark's images were deeper than 8 bits, uint16 too, which is scaled by the same depth.

        Returns:
            float32 `(n, num_classes)`.

        Raises:
            DatasetError: `images` has another shape or dtype, or no image.
        """
        allowed = ["uint8"] if self._rule.depth_bits is None else ["uint8", "uint16"]
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype not in allowed or not len(images):
            raise DatasetError(
                f"expected {' or '.join(allowed)} RGB images (n, height, width, 3), found {images.dtype} "
                f"{images.shape}; convert them"
            )
        if images.dtype == np.uint16 and self._rule.depth_bits is not None:
            images = scaled(images, self._rule.depth_bits)
        squares = np.stack([np.asarray(self._rule.square(Image.fromarray(image))) for image in images])
        prepared = PreparedImages(squares, self._backbone, NO_AUGMENTATION, seed=0)
        unlabelled = np.zeros(len(images), dtype=np.int32)
        return probabilities_of(outputs(self._trained, ComputedActivations(prepared, unlabelled, self._prefix, 1)))
