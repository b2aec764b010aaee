"""Clock, time zone and locale do not matter: a cell ends in the same bytes in any of them.

Run as a process of its own, in a folder with images: `python -m tests.faults.test_surroundings`.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backbench.config.running_config import TrackingConfig
from backbench.runtime.digests import file_sha256
from tests.faults.conftest import Tried, differing
from tests.support.configs import PROJECT
from tests.support.engines.components import lacking, program
from tests.support.finished_benchmark import fresh_store
from tests.support.workplace import coloured_squares

# Letters that Turkish has its own rules for, and that a locale of bytes cannot spell.
CLASSES = {"class0": "İğne", "class1": "ışık", "class2": "TITLE"}
LOCALES = Path("/usr/share/i18n/locales")


@dataclass(frozen=True)
class Surroundings:
    locale: str
    time_zone: str
    clock: str

    def __str__(self) -> str:
        return f"{self.locale}, {self.time_zone}, a clock {self.clock}"


TRIED = (
    Surroundings("tr_TR.UTF-8", "Pacific/Kiritimati", "-20 years"),
    Surroundings("POSIX", "America/St_Johns", "+30 years"),
)


def images_in(folder: Path) -> Path:
    """Write the images of three classes into `data`, and an empty MLflow store."""
    folder.mkdir()
    data = coloured_squares(folder / "data")
    for name, spelled in CLASSES.items():
        (data / name).rename(data / spelled)
    (folder / "mlflow.db").write_bytes(fresh_store())
    return folder


def run_cell() -> dict[str, str]:
    """Run a tiny cell from images to test metrics here; return digests of what it leaves, MLflow's tables too."""
    from backbench.stages.prepare import prepare
    from tests.support.mlflow_store import table_of
    from tests.support.tiny_cell import STAGES, cell_config_for

    tracking = TrackingConfig(uri=f"sqlite:///{Path.cwd()}/mlflow.db", experiment="tests")
    config = replace(cell_config_for("feature_extraction", seeds=[0]), tracking=tracking)
    prepare(config.dataset)
    for stage in STAGES:
        stage(config)
    folders = map(Path, ("results", "models", "work/dataset", "work/activations", "work/predictions"))
    files = {path.as_posix(): file_sha256(path) for folder in folders for path in folder.rglob("*") if path.is_file()}
    return files | {f"MLflow: {above}/{name}": str(rest) for above, name, *rest in table_of(tracking)}


def locale_folder(folder: Path, *locales: str) -> Path:
    """Compile locales, for a machine has few."""
    compiler = program("localedef", package="libc-bin")
    for locale in locales:
        language, _, encoding = locale.partition(".")
        if not (LOCALES / language).exists():
            lacking("no locales on this machine: apt-get install --no-install-recommends locales")
        command = [str(compiler), "-i", language, "-f", encoding, str(folder / locale)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def environment(locale: str, locales: Path) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return {**mine, "LC_ALL": locale, "LOCPATH": str(locales), "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"}


def run_cell_in(surroundings: Surroundings, folder: Path, locales: Path) -> dict[str, str]:
    clock = [str(program("faketime", package="faketime")), "-m", "--exclude-monotonic", surroundings.clock]
    done = subprocess.run(
        [*clock, sys.executable, "-m", "tests.faults.test_surroundings"],
        cwd=folder,
        env={**environment(surroundings.locale, locales), "TZ": surroundings.time_zone},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_a_cell_ends_in_the_same_bytes_whatever_clock_time_zone_and_locale_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: Tried
) -> None:
    locales = locale_folder(tmp_path, "tr_TR.UTF-8")
    folders = [images_in(tmp_path / str(number)) for number in range(len(TRIED))]
    with ThreadPoolExecutor() as children:
        running = [
            children.submit(run_cell_in, each, folder, locales) for each, folder in zip(TRIED, folders, strict=True)
        ]
        monkeypatch.chdir(images_in(tmp_path / "here"))
        expected = run_cell()
        found = [each.result() for each in running]
    assert len(expected) > 20
    lost = [name for each in found for name in differing(expected, each)]
    how = f"a tiny cell from images to test metrics under {'; '.join(map(str, TRIED))}"
    tried("wrong clock, other time zone and locale", how=how, times=len(found), lost=lost)


def test_a_locale_that_cannot_spell_the_classes_does_not_matter(tmp_path: Path, tried: Tried) -> None:
    locales = locale_folder(tmp_path, "de_DE.ISO-8859-1")
    found = []
    for name, locale in {"here": "C.UTF-8", "there": "de_DE.ISO-8859-1"}.items():
        folder = images_in(tmp_path / name)
        command = [sys.executable, str(PROJECT / "pipelines/prepare.py"), "dataset=folder"]
        command += ["dataset.path=data", "dataset.image_size_pixels=16"]
        done = subprocess.run(command, cwd=folder, env=environment(locale, locales), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        files = [path for path in (folder / "work/dataset").iterdir() if path.is_file()]
        found.append({path.name: file_sha256(path) for path in files})
    lost = differing(*found)
    tried(
        "a locale of one byte a letter",
        how="`prepare` under de_DE.ISO-8859-1, classes `İğne`, `ışık`",
        times=1,
        lost=lost,
    )


if __name__ == "__main__":
    print(json.dumps(run_cell()))
