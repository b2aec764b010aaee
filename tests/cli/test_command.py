import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backbench.cli.command import app, main
from tests.support.configs import PROJECT

FORBIDDEN = ("keras", "tensorflow", "mlflow", "optuna", "hydra", "sklearn")


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    # Rich would colour the help where CI says that it can.
    monkeypatch.setenv("NO_COLOR", "1")


def completions(words: str) -> list[str]:
    """What bash offers for the last word of a command line."""
    environment = {
        **os.environ,
        "_BACKBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    command = [sys.executable, "-m", "backbench.cli.command"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_catalogue_has_a_line_per_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["backbone", "family", "params", "MACs", "input", "MB", "weights", "licence"]
    assert len(lines) == 1 + len(list((PROJECT / "conf/backbone").glob("*.yaml")))


def test_plain_lines_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    main(["backbones", "slim"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_filters_and_json_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "--family", "vgg", "--family", "resnet", "--max-input", "64", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in listed} == {"vgg16_slim", "resnet50_slim"}
    assert all(entry["weights"] == ["formula"] for entry in listed)


def test_csv_has_a_header_and_exact_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "vgg16_slim", "--csv"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("name,family,num_parameters,num_macs,input_size_pixels,feature_dim,weights_bytes,")
    assert row.startswith("vgg16_slim,vgg,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["backbones", "--family", "vit_of_no_one"], "expected a backbone with family vit_of_no_one, found none among"),
        (["backbones", "--max-parameters", "ten"], "--max-parameters: expected a count such as 224, 10M or 1.5G"),
        (["backbones", "--json", "--csv"], "expected one of --json and --csv, found both"),
        (["backbones", "--colour"], "No such option: --colour"),
        (["backbones", "--weights", "gold"], "Invalid value for '--weights'"),
        (["backbons"], "No such command 'backbons'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1


def test_outside_a_project_the_installed_one_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["backbones", "vgg16_slim"]) == 0
    assert "vgg16_slim" in capsys.readouterr().out


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("backbench 0.")
    assert main([]) == 0
    assert CliRunner().invoke(app, ["backbones", "--help"]).exit_code == 0


@pytest.mark.parametrize("command", ["backbones", "doctor"])
def test_no_command_imports_a_network_library(command: str) -> None:
    code = (
        f"import sys; from backbench.cli.command import main; main(['{command}']); "
        f"print([name for name in {FORBIDDEN} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_shell_completes_names_families_and_kinds() -> None:
    assert completions("backbench backbones resnet50_") == ["resnet50_slim", "resnet50_v2"]
    assert "vgg" in completions("backbench backbones --family v")
    assert completions("backbench backbones --weights fo") == ["formula"]
    assert "backbones" in completions("backbench ")


def test_the_shell_completes_nothing_from_a_broken_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/backbone").mkdir(parents=True)
    (tmp_path / "conf/backbone/broken.yaml").write_text("name: [", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert completions("backbench backbones --family v") == []
