"""`make ui` opens a store, or says where a server shows it; no password is shown, nor put on a command line."""

import os
from pathlib import Path

import pytest

from backbench.cli import mlflow_ui
from backbench.cli.mlflow_ui import main


class StartedError(Exception):
    """In place of the UI."""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """The command line of what is started, and the store that its environment names."""
    found: list[tuple[list[str], str]] = []

    def start(program: str, words: list[str], environment: dict[str, str]) -> None:
        found.append((words, environment["MLFLOW_BACKEND_STORE_URI"]))
        raise StartedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execvpe", start)
    return found


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("http://ada:hush@host:5000", "open http://host:5000"),
        ("https://host/mlflow/?token=hush", "open https://host/mlflow/"),
        ("databricks", "open your Databricks workspace"),
        ("databricks://hush", "open your Databricks workspace"),
    ],
)
def test_a_server_is_named_and_nothing_is_started(
    uri: str,
    opened: str,
    started: list[tuple[list[str], str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    main()
    said = capsys.readouterr()
    assert opened in said.out
    assert "hush" not in said.out + said.err
    assert not started


@pytest.mark.parametrize(
    "uri", ["", "postgresql://ada:hush@host/runs", "postgresql+psycopg://ada:hush@host/runs", "file:runs", "./runs"]
)
def test_a_store_is_opened_and_its_address_stands_in_no_command_line(
    uri: str, started: list[tuple[list[str], str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mlflow.db").touch()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StartedError):
        main()
    ((words, store),) = started
    assert words[1:] == ["-m", "mlflow", "ui"]
    assert store == (uri or mlflow_ui.DEFAULT)
    said = capsys.readouterr()
    assert "hush" not in said.out + said.err


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("", "error: expected the MLflow store mlflow.db, found none; `make repro` or `make report` writes it"),
        ("file:runs", "found the folder file:runs; name a database, such as sqlite:///mlflow.db"),
        ("gopher://ada:hush@host", "found gopher://***@host"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    uri: str,
    told: str,
    started: list[tuple[list[str], str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not started
