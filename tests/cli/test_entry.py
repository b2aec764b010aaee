import errno
import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from filelock import FileLock

from backbench.cli.entry import quiet_libraries, refusing
from backbench.config.backbone_config import WeightsConfig
from backbench.config.backbone_files import read_backbone
from backbench.config.config import resolved_backbone
from backbench.config.config_files import read_named
from backbench.data.arrays.file_formats import write_json
from backbench.runtime import paths
from backbench.runtime.atomic_files import replacing
from backbench.runtime.errors import DatasetError, TrackingError
from backbench.runtime.known_files import known_json
from backbench.runtime.locks import only_writer
from tests.support.configs import PROJECT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("backbone=resnet5", "error: In 'config': Could not find 'backbone/resnet5' Available options in 'backbone':"),
        ("strategy.epochs=many", "error: conf/strategy/feature_extraction.yaml: epochs: expected a valid integer"),
        ("~backbone", "error: Key 'backbone' is not in struct"),
        ("+strategy.colour=red", "error: conf/strategy/feature_extraction.yaml: colour: unknown key; known are name, "),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(tmp_path: Path, override: str, message: str) -> None:
    command = [sys.executable, str(PROJECT / "pipelines/sweep.py"), override]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_second_writer_waits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    paths.LOCKS.mkdir(parents=True)
    first = FileLock(paths.LOCKS / "sweep.lock")
    first.acquire()
    monkeypatch.setattr("builtins.print", lambda *args, **kwargs: first.release() or sys.stdout.write(str(args[0])))
    with only_writer("sweep"):
        assert "another process still writes these outputs" in capsys.readouterr().out


def test_waiting_for_another_writer_is_no_work(tmp_path: Path) -> None:
    program = """
        import time
        from contextlib import contextmanager
        from backbench.cli import entry

        hours = [0]
        entry.time.monotonic = lambda: 3600.0 * hours[0]

        @contextmanager
        def busy(name):
            hours[0] += 1
            yield

        entry.only_writer = busy
        entry.run_stage(lambda config: hours.append(hours[0]) or "done", lock_name=lambda config: "stage")
        assert hours == [1, 1], hours
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert known_json(tmp_path / paths.timing("stage"))["wall_seconds"] == 0.0


PRINTS_CHOICE = """
    from backbench.cli import entry

    def stage(config):
        backbone = config.backbone
        return f"{backbone.name} {backbone.family} {backbone.input_size_pixels} {config.weights.name}"

    entry.run_stage(stage, lock_name=lambda config: "stage", chosen_by_benchmark=("weights",))
"""


def chosen(folder: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have a stage of the shipped configuration, whose default weights are formula, print what it got."""
    command = [sys.executable, "-c", dedent(PRINTS_CHOICE), *overrides]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("backbone=vgg16_slim",), "vgg16_slim vgg 64 formula"),
        (("backbone=efficientnet_lite0",), "efficientnet_lite0 efficientnet_lite 224 formula"),
        (("backbone=efficientnet_lite0_64px",), "efficientnet_lite0_64px efficientnet_lite 64 imagenet"),
        (("backbone=efficientnet_lite0_64px", "weights=random"), "efficientnet_lite0_64px efficientnet_lite 64 random"),
    ],
)
def test_a_stage_gets_what_the_base_says_and_the_weights_that_the_backbone_names(
    tmp_path: Path, overrides: tuple[str, ...], expected: str
) -> None:
    done = chosen(tmp_path, *overrides)
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr


def test_what_dvc_runs_computes_with_the_backbone_that_dvc_knows(tmp_path: Path) -> None:
    """Else an edit between two stages would be recorded as what made the outputs."""
    (tmp_path / "conf").symlink_to(PROJECT / "conf")
    by_dvc = {"DVC_STAGE": "embed@vgg16_slim"}
    absent = chosen(tmp_path, "backbone=vgg16_slim", **by_dvc)
    assert "work/backbones/vgg16_slim.json, found nothing there; run `dvc repro backbones`" in absent.stderr
    backbone = read_backbone(PROJECT / "conf/backbone/vgg16_slim.yaml")
    known = resolved_backbone(backbone, read_named(PROJECT / "conf/weights/formula.yaml", WeightsConfig))
    write_json(tmp_path / paths.backbone("vgg16_slim"), known)
    done = chosen(tmp_path, "backbone=vgg16_slim", **by_dvc)
    assert (done.returncode, done.stderr) == (0, "")
    other = chosen(tmp_path, "backbone=vgg16_slim", "backbone.input_size_pixels=96", **by_dvc)
    assert other.returncode == 2
    assert "conf/weights say of vgg16_slim, found something else; run `dvc repro backbones`" in other.stderr


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target) as temporary:
        (temporary.write_text("half"), (tmp_path / "missing").read_text())
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interruption_is_one_line_and_a_shells_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, refusing():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; start again to go on\n"


def test_several_mistakes_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, refusing():
        raise DatasetError("expected a,\nfound b; c", "expected d, found e; f")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: expected a, found b; c\nerror: expected d, found e; f\n"


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "results/a.csv"), "found no space on the file system of "),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "found no space on the file system of "),
        (OSError("100000 requested and 7664 written"), "found no space on the file system of "),  # NumPy's
        (chained(TrackingError("no"), sqlite3.OperationalError("database or disk is full")), "found no space on the"),
        (PermissionError(errno.EACCES, "Permission denied", "results"), "expected leave to use results, found: Perm"),
        (OSError(errno.EROFS, "Read-only file system", "work"), "expected leave to use work, found: Read-only file"),
    ],
    ids=str,
)
def test_what_a_file_system_refuses_is_one_line(
    error: Exception, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, refusing():
        raise error
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: expected ")
    assert message in said
    assert said.count("\n") == 1


def test_a_mistake_of_the_programme_keeps_its_traceback() -> None:
    with pytest.raises(FileNotFoundError), refusing():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "results/a.csv")


def test_a_letter_that_the_locale_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="iso8859-1"))
    quiet_libraries()
    print("24 images → 3 kB", flush=True)
    assert written.getvalue() == b"24 images ? 3 kB\n"
