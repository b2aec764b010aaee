"""DVC works in a folder without git, and says what is wrong where there are no locks."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import SoftFileLock

from backbench.cli import dvc_settings, repro_lock
from backbench.cli.dvc_settings import DvcSettingError, agree
from backbench.cli.repro_lock import CheckoutInUseError
from backbench.compat.dvc_locks import LOCKS
from backbench.runtime import paths
from backbench.runtime.file_systems import file_system, has_locks
from backbench.runtime.locks import file_lock, only_writer
from tests.support.configs import PROJECT

STAGE = "stages:\n  write:\n    cmd: echo 1 > out\n    outs: [out]\n"
LINUX_MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:41 / /scratch rw - lustre mds@tcp:/scratch rw
41 40 0:42 / /scratch/my\040home rw - nfs4 server:/home rw
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of DVC's settings, outside of any repository, with the dvc of the environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(PROJECT / ".dvc/config", ".dvc/config")
    Path(".venv/bin").mkdir(parents=True)
    dvc_settings.DVC.symlink_to(Path(sys.executable).with_name("dvc"))
    return tmp_path


def fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_dvc_works_without_git_and_with_it_again(project: Path) -> None:
    Path("dvc.yaml").write_text(STAGE, encoding="utf-8")
    agree()
    assert "no_scm = true" in dvc_settings.LOCAL.read_text(encoding="utf-8")
    subprocess.run([str(dvc_settings.DVC), "repro", "--quiet"], check=True)
    assert Path("out").is_file()
    subprocess.run(["git", "init", "--quiet"], check=True)
    agree()
    assert "no_scm" not in dvc_settings.LOCAL.read_text(encoding="utf-8")


@pytest.mark.parametrize("git", ["folder", "file"])
def test_in_a_repository_nothing_is_set(project: Path, git: str) -> None:
    if git == "folder":
        (project / ".git").mkdir()
        (project / ".git/HEAD").touch()
    else:
        (project / ".git").write_text("gitdir: elsewhere", encoding="utf-8")
    agree()
    assert not dvc_settings.LOCAL.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_one_line_names_the_file_system_and_the_way_out(
    project: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (project / ".git").touch()
    fail(monkeypatch, number)
    with pytest.raises(DvcSettingError, match=f"found {file_system(project)} without; .* core.hardlink_lock true"):
        agree()
    dvc_settings.LOCAL.write_text("[core]\n    hardlink_lock = true\n", encoding="utf-8")
    lock = LOCKS[0]
    lock.parent.mkdir()
    lock.touch()
    agree()
    assert not lock.exists()
    lock.touch()
    os.link(lock, lock.with_name("claim"))
    with pytest.raises(DvcSettingError, match="found .dvc/tmp/lock, .* where no dvc runs on any host, run `rm"):
        agree()


def test_another_error_of_a_lock_is_not_taken_for_a_lack_of_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        has_locks(tmp_path)


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(LINUX_MOUNTS, encoding="utf-8")
    assert file_system(Path("/scratch/me/backbench"), mounts) == "lustre at /scratch"
    assert file_system(Path("/scratch/my home/a"), mounts) == "nfs4 at /scratch/my home"
    assert file_system(Path("/scratches"), mounts) == "ext4 at /"
    assert file_system(Path("/a"), tmp_path / "absent") == "a file system of unknown type at /"


def test_outputs_have_one_writer_without_the_systems_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with only_writer("sweep"):
        pass  # leaves an empty file of the system's kind
    fail(monkeypatch, errno.ENOLCK)
    with only_writer("sweep"):
        held = file_lock(paths.LOCKS / "sweep.lock")
        assert isinstance(held, SoftFileLock)
        assert Path(held.lock_file).is_file()
    assert not Path(held.lock_file).exists()


@pytest.fixture
def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_run_is_refused_without_the_systems_locks_and_takes_over_from_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    lock = tmp_path / "work/repro.lock"
    fail(monkeypatch, errno.ENOSYS)
    repro_lock.take(lock)
    link = tmp_path / "work/repro.lock.holder"
    kernel, _, started = str(link.readlink()).split(":")
    link.unlink()
    link.symlink_to(f"{kernel}:{os.getppid()}:{started_of(os.getppid())}")
    with pytest.raises(CheckoutInUseError, match="where its host is another one and it was killed, remove"):
        repro_lock.take(lock)
    link.unlink()
    link.symlink_to(f"{kernel}:{ended}:{started}")
    repro_lock.take(lock)
    assert f":{os.getpid()}:" in str(link.readlink())


def started_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
