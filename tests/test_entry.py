import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from backbench import artifacts
from tests.conftest import PROJECT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("backbone=resnet5", "error: In 'config': Could not find 'backbone/resnet5' Available options in 'backbone':"),
        ("strategy.epochs=many", "error: conf/strategy: epochs: Input should be a valid integer"),
        ("+strategy.colour=red", "error: conf/strategy: colour: expected only known keys"),
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
    artifacts.LOCKS.mkdir(parents=True)
    first = FileLock(artifacts.LOCKS / "sweep.lock")
    first.acquire()
    monkeypatch.setattr("builtins.print", lambda *args, **kwargs: first.release() or sys.stdout.write(str(args[0])))
    with artifacts.only_writer("sweep"):
        assert "another process still writes these outputs" in capsys.readouterr().out


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), artifacts.replacing(target) as temporary:
        (temporary.write_text("half"), (tmp_path / "missing").read_text())
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
