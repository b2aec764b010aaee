"""A disk without room: the stage says so in one line, and after room is made the cell ends in the same bytes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbench.cli.entry import refusing
from backbench.config.config import CellConfig
from backbench.runtime.digests import file_sha256
from backbench.stages.embed.embed import embed
from backbench.stages.sweep.sweep import sweep
from backbench.stages.train.train import train
from tests.faults.conftest import Tried, differing
from tests.support.engines.components import lacking
from tests.support.tiny_cell import Stage, cell_config_for, run

STRATEGY, SEEDS = "feature_extraction", [0, 1]
FILE_SYSTEM_BYTES = 64 << 20
PAGE_BYTES = 4096


@pytest.fixture
def small_disk(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the prepared data set on a file system of its own, as the working folder."""
    place = tmp_path / "small disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FILE_SYSTEM_BYTES}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        lacking("a small file system cannot be mounted here: run this test as root")
    try:
        shutil.copytree(prepared, place, dirs_exist_ok=True)
        monkeypatch.chdir(place)
        yield place
    finally:
        monkeypatch.chdir(tmp_path)
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def results() -> dict[str, str]:
    folders = map(Path, ("results", "models", "work/activations", "work/dataset", "work/predictions"))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix(): file_sha256(path) for path in files}


def test_a_full_disk_is_one_line_and_takes_nothing_that_was_finished(
    small_disk: Path, tried: Tried, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("backbench.stages.embed.embed.FREE_BYTES", 0)
    run(STRATEGY, seeds=SEEDS)
    undisturbed = results()
    for folder in ("results", "models", "work/activations", "work/predictions", "work/state"):
        shutil.rmtree(folder)
    config, lost, refusals = cell_config_for(STRATEGY, seeds=SEEDS), set[str](), list[str]()
    embed([config])
    for stage in (sweep, train):
        before, num_pages = results(), 0
        while refused := refusal_with(num_pages * PAGE_BYTES, stage, config, small_disk, capsys):
            refusals.append(refused)
            found = results()
            half_written = {name for name in found if found[name] != undisturbed.get(name)}
            lost |= half_written | {name for name in before if before[name] != found.get(name)}
            num_pages = max(1, 2 * num_pages)  # so that the disk is full at another place each time
    lost |= set(differing(undisturbed, results()))
    assert len(refusals) >= 6
    expected = "exit 2, error: expected room for what is written, found no space on the file system of "
    assert [said for said in refusals if not said.startswith(expected) or said.count("\n") != 1] == []
    how = "under `sweep` and `train`, on a file system filled up to 0, 1, 2, 4, … pages"
    tried("disk full", how=how, times=len(refusals), lost=lost)


def refusal_with(
    room_bytes: int, stage: Stage, config: CellConfig, place: Path, capsys: pytest.CaptureFixture[str]
) -> str | None:
    """Run a stage with so much room left; return how it ends and what it says on stderr where it fails, else None."""
    filler = place / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(place).free - room_bytes))
    capsys.readouterr()
    try:
        with refusing():
            stage(config)
    except SystemExit as ended:
        return f"exit {ended.code}, {capsys.readouterr().err}"
    finally:
        filler.unlink()
    return None
