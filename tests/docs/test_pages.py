"""What README, CONTRIBUTING and docs/ point at is there: linked files, headings in them, and modules by name."""

import csv
import re
from pathlib import Path

import pytest

from tests.support.configs import PROJECT

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
DECISIONS = PROJECT / "docs/decisions"
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"`((?:[\w.]+/)*\w+\.py)`")
CODE = sorted(
    file.relative_to(PROJECT).as_posix()
    for folder in ("src", "pipelines", "pretraining", "bench", "tests")
    for file in (PROJECT / folder).rglob("*.py")
)


def anchor(heading: str) -> str:
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_a_page_points_at_what_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = []
    for link in LINK.findall(text):
        place, _, heading = link.partition("#")
        file = page if not place else (page.parent / place)
        if "://" not in link and not (file.exists() and (not heading or heading in anchors(file))):
            broken.append(link)
    assert broken == []
    assert [name for name in MODULE.findall(text) if not any(f"/{path}".endswith(f"/{name}") for path in CODE)] == []


def test_the_index_has_every_decision_in_order_and_each_its_parts() -> None:
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    assert LINK.findall((DECISIONS / "README.md").read_text(encoding="utf-8"))[2:] == [file.name for file in records]
    numbers = [int(file.name.partition("-")[0]) for file in records]
    assert len(set(numbers)) == len(numbers)
    for number, file in zip(numbers, records, strict=True):
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "Evidence",
        ]


def test_the_readme_shows_the_committed_leaderboard() -> None:
    with (PROJECT / "results/leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = [shown(row) for row in csv.DictReader(file)]
    table = re.findall(r"^\| (\d.*) \|$", (PROJECT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [tuple(line.split(" | ")) for line in table] == rows


def shown(row: dict[str, str]) -> tuple[str, ...]:
    is_chosen, differs = row["rank"] == "1", row["differs_from_chosen"] == "True"
    spread = f" ± {float(row['test_accuracy_sd']):.3f}" if row["test_accuracy_sd"] else ""
    return (
        row["rank"] + ("" if is_chosen or differs else "="),
        row["backbone"],
        row["strategy"],
        f"{float(row['val_loss_mean']):.3f}",
        f"{float(row['test_accuracy_mean']):.3f}{spread}",
        f"{float(row['test_accuracy_low']):.3f}–{float(row['test_accuracy_high']):.3f}",
        f"{float(row['learning_rate']):.1e}" if row["learning_rate"] else "–",
    )


def test_the_architecture_names_every_room() -> None:
    named = re.findall(r"^\| `(\w+)/` \|", (PROJECT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(file.parent.name for file in (PROJECT / "src/backbench").glob("*/__init__.py"))
