"""A prepared data set of coloured squares, and finished cells on it, as the working folder of a test."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.config.running_config import TrackingConfig
from backbench.stages.prepare import prepare
from backbench.tracking.connection import Connection
from tests.support.image_folders import config_for, save
from tests.support.tiny_cell import run


def coloured_squares(folder: Path) -> Path:
    """Three classes that differ in colour, under noise."""
    random = np.random.default_rng(0)
    for label, colour in enumerate(np.eye(3) * 120):
        for number in range(20):
            pixels = np.clip(colour + random.integers(0, 130, (16, 16, 3)), 0, 255)
            save(Image.fromarray(pixels.astype("uint8")), folder / f"class{label}" / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(config_for(coloured_squares(folder / "data").relative_to(folder)))
        Connection(TrackingConfig(uri="sqlite:///mlflow.db", experiment="tests"))
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared data set with an MLflow store, as the working folder."""
    shutil.copytree(prepared, tmp_path / "work place")
    monkeypatch.chdir(tmp_path / "work place")
    return Path.cwd()


@dataclass(frozen=True)
class FinishedCell:
    """Where a tiny cell of two seeds was run, and the digest of every file that DVC would hash of it."""

    folder: Path
    digests: dict[str, str]


@pytest.fixture(scope="session")
def finished_cells(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], FinishedCell]:
    """Run a tiny cell of a strategy when a test first asks for it; tests work in copies."""

    @cache
    def finished_cell(strategy: str) -> FinishedCell:
        folder = tmp_path_factory.mktemp(strategy) / "work place"
        shutil.copytree(prepared, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            return FinishedCell(folder, run(strategy, seeds=[0, 1]))

    return finished_cell


@pytest.fixture
def finished(
    finished_cells: Callable[[str], FinishedCell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dict[str, str]]:
    """Work in a copy of a finished cell from now on; return its digests."""

    def in_a_copy(strategy: str) -> dict[str, str]:
        cell = finished_cells(strategy)
        folder = tmp_path / f"finished {strategy}"
        shutil.copytree(cell.folder, folder)
        monkeypatch.chdir(folder)
        return cell.digests

    return in_a_copy
