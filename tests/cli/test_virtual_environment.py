"""The environment is kept while it is right, and made anew where it is not; nothing is installed for it here."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backbench.cli import repro_lock
from backbench.cli import virtual_environment as environment
from backbench.cli.doctor.packages import _pinned
from backbench.cli.repro_lock import CheckoutInUseError
from backbench.cli.virtual_environment import InstallationError, bring_up_to_date
from backbench.runtime import hardware
from backbench.runtime.errors import ConfigError
from backbench.runtime.hardware import Gpu
from backbench.runtime.installation import CUDA_EXTRA, _required
from tests.support.configs import PROJECT


class Commands:
    """What was run, as the first word that tells: `venv`, the name of a lock, or `--editable`."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.failing = ""

    def __call__(self, command: Sequence[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        said = next(word for word in command if word in ("venv", "--editable") or word.endswith(".lock"))
        self.seen.append(said)
        if said == "venv":
            python = Path(".venv/bin/python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.unlink(missing_ok=True)
            python.symlink_to(sys.executable)
        return subprocess.CompletedProcess([], 1 if said == self.failing else 0)

    def of(self, gpu: str = "") -> list[str]:
        self.seen.clear()
        bring_up_to_date(gpu)
        return list(self.seen)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.chdir(tmp_path)
    for name in ("requirements.lock", "requirements.cuda.lock", "pyproject.toml"):
        Path(name).touch()
    made = Commands()
    monkeypatch.setattr(subprocess, "run", made)
    monkeypatch.setattr(repro_lock, "take", lambda _: None)
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    return made


FROM_NOTHING = ["venv", "requirements.lock", "--editable"]
WITH_CUDA = ["venv", "requirements.cuda.lock", "--editable"]
GPU = (Gpu("NVIDIA H100", None, None),)


def test_what_is_right_is_left_alone(commands: Commands) -> None:
    assert commands.of() == FROM_NOTHING
    assert commands.of() == []


@pytest.mark.parametrize("file", ["requirements.lock", "pyproject.toml"])
def test_a_changed_file_is_installed_over_what_is_there(commands: Commands, file: str) -> None:
    commands.of()
    Path(file).write_text("changed", encoding="utf-8")
    assert commands.of() == FROM_NOTHING[1:]
    assert commands.of() == []


@pytest.mark.parametrize("failing", FROM_NOTHING)
def test_what_was_not_finished_is_begun_anew(commands: Commands, failing: str) -> None:
    commands.failing = failing
    with pytest.raises(InstallationError, match="exit code 1"):
        bring_up_to_date()
    commands.failing = ""
    assert commands.of() == FROM_NOTHING


def test_another_python_makes_it_anew(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.of()
    monkeypatch.setattr(sys, "executable", "/usr/local/bin/python3.12")
    assert commands.of() == FROM_NOTHING


def test_a_python_of_another_version_at_the_same_path_makes_it_anew(commands: Commands) -> None:
    commands.of()
    kept = json.loads(environment.READY.read_text(encoding="utf-8"))
    environment.READY.write_text(json.dumps({**kept, "version": "3.10"}), encoding="utf-8")
    assert commands.of() == FROM_NOTHING


def test_a_python_that_was_removed_makes_it_anew(commands: Commands) -> None:
    commands.of()
    Path(".venv/bin/python").unlink()
    Path(".venv/bin/python").symlink_to("/nowhere/python3.11")
    assert commands.of() == FROM_NOTHING


def test_a_moved_checkout_makes_it_anew(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.of()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    monkeypatch.chdir(moved)
    assert commands.of() == FROM_NOTHING


def test_the_environment_of_another_checkout_is_left_alone(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.of()
    other = tmp_path / "other"
    other.mkdir()
    (other / ".venv").symlink_to(tmp_path / ".venv")
    monkeypatch.chdir(other)
    with pytest.raises(InstallationError, match="run `rm .venv`"):
        commands.of()
    assert commands.seen == []


def test_a_gpu_chooses_the_lock_with_cuda(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands.of() == FROM_NOTHING
    monkeypatch.setattr(hardware, "gpus", lambda: GPU)
    assert commands.of() == WITH_CUDA
    assert commands.of() == []


def test_hosts_with_and_without_a_gpu_share_an_environment(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: GPU)
    assert commands.of() == WITH_CUDA
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    assert commands.of() == []


def test_what_is_said_of_the_gpu_holds_until_the_other_is_said(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: GPU)
    assert commands.of("no") == FROM_NOTHING
    assert commands.of() == []
    assert commands.of("yes") == WITH_CUDA
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    assert commands.of() == []
    with pytest.raises(ConfigError, match="expected GPU=yes or GPU=no, found GPU=2"):
        bring_up_to_date("2")


def test_nothing_is_made_anew_under_a_run(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_: Path) -> None:
        raise CheckoutInUseError("held")

    commands.of()
    monkeypatch.setattr(repro_lock, "take", held)
    assert commands.of() == []
    with pytest.raises(CheckoutInUseError):
        commands.of("yes")
    assert commands.seen == []
    assert environment.READY.is_file()


def lines(lock: Path) -> list[str]:
    return (PROJECT / lock).read_text(encoding="utf-8").splitlines()


def test_both_locks_pin_the_same_versions_and_cuda_comes_on_top() -> None:
    plain, cuda = lines(environment.LOCK), lines(environment.CUDA_LOCK)
    more = [line for line in cuda if line not in set(plain)]
    assert [line for line in plain if line not in set(cuda)] == []
    names = {line.partition("==")[0] for line in more if "==" in line}
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12"} <= names
    assert all(name.startswith("nvidia-") for name in names)


def test_every_pin_with_cuda_has_a_hash_and_tensorflows_own_list_of_cuda_is_pinned() -> None:
    cuda = lines(environment.CUDA_LOCK)
    pins = [number for number, line in enumerate(cuda) if not line.startswith(" ")]
    assert all(cuda[number + 1].startswith("    --hash=sha256:") for number in pins)
    assert set(_required("tensorflow", CUDA_EXTRA)) <= dict(_pinned(cuda)).keys()
