"""A prepared data set of coloured squares, as the working folder of a test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.config.config import TrackingConfig
from backbench.stages.prepare import prepare
from backbench.tracking.tracking import Tracker
from tests.support.image_folders import config_for, save


def coloured_squares(folder: Path) -> Path:
    """Three classes that differ in colour, under noise."""
    random = np.random.default_rng(0)
    for label, colour in enumerate(np.eye(3) * 120):
        for number in range(20):
            pixels = np.clip(colour + random.integers(0, 130, (16, 16, 3)), 0, 255)
            save(Image.fromarray(pixels.astype("uint8")), folder / f"class{label}" / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(config_for(coloured_squares(folder / "data").relative_to(folder)))
        Tracker(TrackingConfig(uri="sqlite:///mlflow.db", experiment="tests"))
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared data set with an MLflow store, as the working folder."""
    shutil.copytree(prepared, tmp_path / "work place")
    monkeypatch.chdir(tmp_path / "work place")
    return Path.cwd()
