from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from backbench.compat.networks.keras_applications import given_no_weights, given_weights

CONSTRUCTOR = keras.applications.MobileNetV2
SMALL: dict[str, Any] = {"include_top": False, "alpha": 0.35, "input_shape": (32, 32, 3)}


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is fetched after all is fetched from nowhere."""
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras"))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", None)


def test_a_constructor_takes_the_file_that_it_is_given(tmp_path: Path) -> None:
    model = CONSTRUCTOR(weights=None, **SMALL)
    model.save_weights(tmp_path / "mine.weights.h5")
    with given_weights(tmp_path / "mine.weights.h5"):
        loaded = CONSTRUCTOR(weights="imagenet", **SMALL)
    for mine, its in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_constructor_goes_on_without_weights_and_models_load_again_afterwards() -> None:
    before = keras.Model.load_weights
    with given_no_weights():
        assert CONSTRUCTOR(weights="imagenet", **SMALL).built
    assert keras.Model.load_weights is before
    with pytest.raises(TypeError, match="not callable"):  # a size of which Keras does not warn
        CONSTRUCTOR(weights="imagenet", **{**SMALL, "input_shape": (96, 96, 3)})
