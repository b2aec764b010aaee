"""What MLflow is told of runs: flat, bounded text that names weights and code."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from backbench.runtime.web_address import without_secrets
from backbench.tracking.runs import MAX_NOTE_CHARACTERS, NOTE, code_tags, flattened, note_tag, weights_tags

PACKAGE = {"name": "a-model", "version": "0.1.0", "file": "a/a.pth"}


@pytest.mark.parametrize(
    ("configuration", "licence", "source"),
    [
        ({"weights": {"name": "random", "seed": 0}}, "none", "random values of seed 0"),
        ({"weights": {"name": "file"}}, "not stated", "a file"),
        ({"weights": {"name": "file", "url": "https://x.org/y", "licence": "MIT"}}, "MIT", "https://x.org/y"),
        (
            {"weights": {"name": "formula"}, "backbone": {"formula": {"file": "assets/a.h5", "licence": "MIT"}}},
            "MIT",
            "assets/a.h5",
        ),
        (
            {"weights": {"name": "imagenet"}, "backbone": {"imagenet": {"file": "assets/a.st", "licence": "MIT"}}},
            "MIT",
            "assets/a.st",
        ),
        (
            {
                "weights": {"name": "published"},
                "backbone": {"pretrained": {"url": "https://x.org/y", "licence": "MIT"}},
            },
            "MIT",
            "https://x.org/y",
        ),
        (
            {"weights": {"name": "published"}, "backbone": {"pretrained": {"package": PACKAGE, "licence": "MIT"}}},
            "MIT",
            "package a-model 0.1.0",
        ),
    ],
)
def test_weights_of_every_kind_have_a_licence_and_a_source(
    configuration: dict[str, Any], licence: str, source: str
) -> None:
    tags = weights_tags({**configuration, "digests": {"weights": "ab"}})
    named = {"weights_digest": "ab", "weights_licence": licence, "weights_source": source}
    assert tags == {f"backbench.{name}": value for name, value in named.items()}


def test_the_code_of_a_stage_is_named_and_whether_it_differed_from_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_tags() == {"mlflow.source.git.commit": "unknown"}
    Path("src").mkdir()
    Path("src/a.py").touch()
    for words in (["init"], ["add", "src"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "first"]):
        subprocess.run(["git", *words], check=True, capture_output=True)
    clean = code_tags()
    assert (len(clean["mlflow.source.git.commit"]), clean["mlflow.source.git.dirty"]) == (40, "false")
    Path("src/b.py").touch()
    assert code_tags() == {**clean, "mlflow.source.git.dirty": "true"}


def test_parameters_are_flat_text_of_bounded_length() -> None:
    tree = {"a": {"b": None, "c": [1, 0.5]}, "d": True, "e": "x" * 600, "f": {}}
    assert flattened(tree) == {"a.b": "null", "a.c": "[1, 0.5]", "d": "true", "e": "x" * 500}
    assert len(note_tag("x" * 9000)[NOTE]) == MAX_NOTE_CHARACTERS


def test_secrets_of_an_address_are_stars() -> None:
    assert without_secrets("postgresql://ada:hush@db/x?password=hush2") == "postgresql://***@db/x?password=***"
