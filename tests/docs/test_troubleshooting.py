"""docs/troubleshooting.md quotes messages by their exact words: those words still stand in the code."""

import ast
import re
from functools import cache
from itertools import chain, takewhile

import pytest

from tests.support.configs import PROJECT

PAGE = PROJECT / "docs/troubleshooting.md"
# What the page writes between fixed words: a placeholder, a doctor's column, the arrow before its advice.
BETWEEN = re.compile(r"<[^>]+>|\s{2,}|→")
VERDICT = re.compile(r"^(error|missing|warning)\b:?")
END = "\0"


def quoted(page: str) -> list[str]:
    """Every message of the page's `text` blocks, and every advice of the doctor's; a line that is indented goes on."""
    blocks = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [re.sub(r"\n {4,}", " ", line) for block in blocks for line in re.split(r"\n(?! {4,}[^ →])", block) if line]


def fixed_parts(message: str) -> list[str]:
    parts = BETWEEN.split(VERDICT.sub("", message.strip()))
    return [part for part in (part.strip(" ;:,.()[]`") for part in parts) if part]


@cache
def texts() -> str:
    """Every text of the code, an f-string's parts by themselves, and the script that looks for a Python."""
    files = chain((PROJECT / "src").rglob("*.py"), (PROJECT / "pipelines").glob("*.py"))
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    constants = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    shell = (PROJECT / "pipelines/find_python.sh").read_text(encoding="utf-8").replace("\\`", "`")
    return END.join(["", *(value for value in constants if isinstance(value, str)), shell, ""])


def stands_in_the_code(part: str, before: str = "") -> bool:
    """Say whether a part is in one text, or begins at the end of one and goes on in the next."""
    if before + part in texts():
        return True
    lengths = takewhile(lambda length: before + part[:length] in texts(), range(1, len(part)))
    return any(before + part[:length] + END in texts() and stands_in_the_code(part[length:], END) for length in lengths)


MESSAGES = quoted(PAGE.read_text(encoding="utf-8"))


def test_the_page_quotes_messages() -> None:
    assert len(MESSAGES) >= 40


@pytest.mark.parametrize("message", MESSAGES)
def test_the_words_of_a_message_stand_in_the_code(message: str) -> None:
    parts = fixed_parts(message)
    assert parts
    assert [part for part in parts if not stands_in_the_code(part)] == []


def test_changed_words_are_noticed() -> None:
    message = "error: expected room for what is written, found no space on the disk of <folder> (<size> left)"
    assert [part for part in fixed_parts(message) if not stands_in_the_code(part)] == [
        "expected room for what is written, found no space on the disk of"
    ]
