"""The page stands alone, says the answer first, and is the same bytes for the same results."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from backbench import artifacts
from backbench.findings import answer
from backbench.leaderboard import Leaderboard, read_leaderboard
from backbench.report.page import DataCard, render_page
from backbench.report.pictures import MAX_CONFUSION_CLASSES, confusion_picture
from backbench.report.terminal import print_leaderboard
from tests.finished_benchmark import cells, make_finished_benchmark, write_cell, write_pixels

LOADING = {"src", "href", "xlink:href", "action", "data", "srcset", "poster"}


class Loads(HTMLParser):
    """Collects ids, and every address that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in LOADING]
        self.ids += [value or "" for name, value in attrs if name == "id"]


@pytest.fixture(autouse=True)
def in_a_finished_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_finished_benchmark()


def leaderboard() -> Leaderboard:
    return read_leaderboard(cells())


def data_card() -> DataCard:
    content = artifacts.read_json(artifacts.DATASET / "dataset.json", made_by="prepare")
    return DataCard(content, list(np.load(artifacts.DATASET / "images-train.npy")[::10]))


def page() -> str:
    return render_page(leaderboard(), data_card())


def test_page_loads_nothing_from_anywhere() -> None:
    loads = Loads()
    text = page()
    loads.feed(text)
    assert loads.addresses
    assert all(address.startswith(("data:", "#")) for address in loads.addresses)
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", text)


def test_page_has_no_id_twice() -> None:
    loads = Loads()
    loads.feed(page())
    assert len(loads.ids) == len(set(loads.ids))


def test_page_is_the_same_bytes_twice_and_in_another_style() -> None:
    import matplotlib as mpl

    first = page()
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        assert page() == first


def test_page_shows_no_place_and_no_time_of_this_machine(tmp_path: Path) -> None:
    text = re.sub(r"data:image/png;base64,[^\"]*", "", page())
    assert str(tmp_path) not in text
    assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b", text)
    assert not re.search(r"\d\d:\d\d:\d\d", text)


def test_names_of_classes_are_escaped() -> None:
    text = page()
    assert "<three>" not in text
    assert "&lt;three&gt;" in text
    assert "één" in text


def test_every_row_its_command_and_its_digests_are_on_the_page() -> None:
    text = page()
    for row in leaderboard().rows:
        assert row.name in text
    assert "dvc repro -f -s train@vgg16_slim-fine_tuning" in text
    assert text.count("e" * 64) >= 4
    assert "left out: unreadable" in text


def test_answer_says_that_a_clear_best_is_ahead() -> None:
    sentence = answer(leaderboard())
    assert sentence.startswith("vgg16_slim with fine_tuning is best: test accuracy 0.9")
    assert "It is ahead of vgg16_slim with feature_extraction by " in sentence
    assert "from raw pixels" in sentence
    assert "\n" not in sentence


def test_answer_says_that_no_difference_is_shown() -> None:
    for seed, cell in enumerate(cells()):
        write_cell(cell, 0.7, seed=seed)
    assert "No difference to " in answer(leaderboard())


def test_answer_says_that_transfer_did_not_pay() -> None:
    write_pixels(0.995)
    sentence = answer(leaderboard())
    assert sentence.startswith("Logistic regression on raw pixels is best")
    assert "against" not in sentence


def test_pictures_have_a_text_for_those_who_do_not_see_them() -> None:
    text = page()
    assert text.count("<svg") == text.count('<svg role="img" aria-label="') == 2 + 2 * len(cells())


def test_too_many_classes_have_no_confusion_picture() -> None:
    num_classes = MAX_CONFUSION_CLASSES + 1
    assert confusion_picture(np.eye(num_classes), [str(index) for index in range(num_classes)]) is None


def test_dollar_signs_in_class_names_are_not_formulas() -> None:
    picture = confusion_picture(np.eye(2), ["$5", "$10 & <more>"])
    assert picture is not None
    assert "$10 &amp; " in picture


def test_logs_get_aligned_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_leaderboard(leaderboard().rows, Console())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 5
    assert lines[1].split()[:3] == ["1", "vgg16_slim", "fine_tuning"]
    assert lines[0].index("test accuracy") == lines[1].index("0.")


def test_terminals_get_a_table() -> None:
    console = Console(force_terminal=True, width=160, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    print_leaderboard(leaderboard().rows, console)
    console.file.close()
    assert "┃" in console.export_text()


@pytest.mark.browser
def test_a_browser_shows_the_page_and_sorts_it(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    click = "<script>document.querySelectorAll('#rows thead button')[1].click()</script>"
    (tmp_path / "page.html").write_text(page().replace("</body>", f"{click}</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    shown = subprocess.run(
        [browser, *flags, "--disable-sync", profile, "--dump-dom", f"file://{tmp_path}/page.html"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    body = shown[shown.index("<tbody>") :]
    assert body.index("logistic_regression") < body.index("resnet50_slim") < body.index("vgg16_slim")
