"""What DVC is taken to say of a stage, as a library."""

import logging
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo

from backbench.compat.dvc_stages import exit_status, failed_stage, opened_repository, speak_of_stages_alone

# DVC asks a library of its own in a way that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
STAGES = """
stages:
  fine: {cmd: "true"}
  refused: {cmd: "exit 3"}
  killed: {cmd: "kill -9 $$"}
  impossible: {cmd: "true", deps: [nowhere.txt]}
"""


@pytest.fixture(autouse=True)
def in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(STAGES, encoding="utf-8")


@pytest.mark.parametrize(("stage", "status"), [("refused", 3), ("killed", -9), ("impossible", None)])
def test_an_error_says_which_stage_failed_and_what_its_command_ended_with(stage: str, status: int | None) -> None:
    with opened_repository() as repository, pytest.raises(DvcException) as failed:
        repository.reproduce(stage)
    assert exit_status(failed.value) == status
    assert failed_stage(failed.value) == stage


def test_dvc_names_a_stage_that_it_runs_and_says_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    root = logging.getLogger("dvc")
    running = logging.getLogger("dvc.stage.run")
    for logger in (root, running):
        monkeypatch.setattr(logger, "level", logger.level)
    monkeypatch.setattr(root, "handlers", [Listening()])
    monkeypatch.setattr(running, "filters", [])
    speak_of_stages_alone()
    with opened_repository() as repository:
        repository.reproduce("fine", force=True)
    assert said == ["Running stage 'fine':"]


def test_a_lock_is_waited_for() -> None:
    with opened_repository() as repository:
        assert repository.lock._wait is True
