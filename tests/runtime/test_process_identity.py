"""A process by its name: whether it still lives, where that can be known."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbench.runtime import process_identity
from backbench.runtime.process_identity import has_ended, process_name
from tests.support.configs import PROJECT


@pytest.fixture
def other() -> Iterator["subprocess.Popen[str]"]:
    """A process that says its name and waits."""
    program = (
        f"import sys; sys.path.insert(0, {str(PROJECT / 'src')!r});"
        "from backbench.runtime.process_identity import process_name; print(process_name(), flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def said_by(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_has_a_name_of_its_own_for_as_long_as_it_lives(other: "subprocess.Popen[str]") -> None:
    assert process_name() == process_name()
    assert not has_ended(process_name())
    name = said_by(other)
    assert name != process_name()
    assert not has_ended(name)


def test_who_was_killed_has_ended_also_before_anybody_has_asked_how(other: "subprocess.Popen[str]") -> None:
    name = said_by(other)
    other.kill()
    # Its parent has not waited for it: it is there still, as a zombie.
    while "Z" not in Path(f"/proc/{other.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]:
        continue
    assert has_ended(name)
    other.wait()
    assert has_ended(name)


def test_another_process_that_was_given_the_same_id_is_not_it() -> None:
    kernel, number, started = process_name().split(":")
    assert has_ended(f"{kernel}:{number}:{int(started) - 1}")


def test_of_another_machine_or_container_nothing_is_known(
    other: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    name = said_by(other)
    other.kill()
    other.wait()
    monkeypatch.setattr(process_identity, "_kernel", lambda: "another")
    assert not has_ended(name)


def test_a_command_of_any_spelling_hides_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel writes the command in parentheses, whatever bytes it has."""
    (tmp_path / "7").mkdir()
    stat = b"7 (a) Z (\xff b) S " + b" ".join(str(field).encode() for field in range(4, 40))
    (tmp_path / "7/stat").write_bytes(stat)
    kernel = process_name().split(":")[0]
    monkeypatch.setattr(process_identity, "_kernel", lambda: kernel)
    monkeypatch.setattr(process_identity, "PROC", tmp_path)
    assert not has_ended(f"{kernel}:7:22"), "the 22nd field"
    assert has_ended(f"{kernel}:7:23")
    assert has_ended(f"{kernel}:8:22")
