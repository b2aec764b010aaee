"""What README, CONTRIBUTING and docs/ point at is there: linked files, headings in them, and modules by name."""

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
    for number, file in enumerate(records, start=1):
        text = file.read_text(encoding="utf-8")
        assert file.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "Evidence",
        ]
