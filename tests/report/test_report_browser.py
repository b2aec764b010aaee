"""The page in a real browser: silent, self-contained, sorted and filtered, drawn, on phones, in the dark, on paper."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from backbench.comparison.ranking import read_leaderboard
from backbench.report.page import render_page
from backbench.runtime.environment import Environment
from backbench.stages.compare import data_card
from tests.support.chromium import chromium
from tests.support.finished_benchmark import make_finished_benchmark, make_large_benchmark, measured

pytestmark = pytest.mark.browser
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
ENVIRONMENT = Environment({"Python": "3.11.7", "keras": "3.15.1"}, "tensorflow", "Linux, a CPU, 2 cores", "c" * 40)
# WCAG 2.2, 1.4.3: text of ordinary size.
LEAST_CONTRAST = 4.5
CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const luminance = name => {
    const hex = style.getPropertyValue(name).trim().slice(1).replace(/^(.)(.)(.)$/, "$1$1$2$2$3$3");
    const [r, g, b] = [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const inks = ["--ink", "--soft", "--accent", "--second", ...[1, 2, 3, 4, 5, 6].map(n => `--series-${n}`)];
  const pairs = inks.flatMap(ink => ["--paper", "--shade"].map(ground => [ink, ground]));
  return pairs.map(([ink, ground]) => [ink, ground, ratio(luminance(ink), luminance(ground))]);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


def rendered(folder: Path, *, large: bool = False) -> Path:
    """Write the page of a synthetic benchmark, whose files stand in the working folder."""
    cells = make_large_benchmark() if large else make_finished_benchmark()
    page = render_page(measured(read_leaderboard(cells)), data_card(), ENVIRONMENT)
    file = folder / "index.html"
    file.write_text(page, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("report")
        patch.chdir(folder)
        yield rendered(folder)


@dataclass
class Visit:
    """An opened page, the addresses it asked for, and everything it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def visit(browser: Browser, file: Path, size: dict[str, int] = DESKTOP, **options: Any) -> Visit:
    """Open the page and listen from the beginning."""
    page = browser.new_context(viewport=size, **options).new_page()
    visited = Visit(page)
    page.on("request", lambda request: visited.requests.append(request.url))
    page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    page.on("console", lambda said: visited.complaints.append(f"{said.type}: {said.text}"))
    page.goto(file.as_uri())
    if options.get("java_script_enabled", True):
        page.wait_for_selector("#pareto-chart svg.marks")
    return visited


def draw_all(page: Page) -> None:
    """Walk through the page, so that every chart comes near the screen."""
    for place in page.locator("[data-chart]").all():
        place.scroll_into_view_if_needed()
        place.locator("svg").wait_for()


def kept(page: Page, name: str, folder: Path) -> None:
    """Keep a picture of the whole page where someone wants to look at it."""
    for place in filter(None, (str(folder), os.environ.get("BACKBENCH_SCREENSHOTS"))):
        picture = Path(place) / f"{name}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 10_000


def backbones(page: Page) -> list[str]:
    """The strategies and backbones of the rows that are seen, from top to bottom."""
    return [row.inner_text().split("\t")[3] for row in page.locator("#rows tbody tr:visible").all()]


def ranks(page: Page) -> list[str]:
    return [row.inner_text().split("\t")[0].strip() for row in page.locator("#rows tbody tr:visible").all()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_is_silent_asks_for_nothing_and_fits(
    browser: Browser, file: Path, size: dict[str, int], scheme: Any, tmp_path: Path
) -> None:
    visited = visit(browser, file, size, color_scheme=scheme)
    page = visited.page
    page.locator("#filters [name=columns]").check()
    page.locator("#cost").select_option("size")
    draw_all(page)
    page.locator("#pareto-chart path[aria-roledescription=point]").first.hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    kept(page, f"report-{size['width']}-{scheme}", tmp_path)
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert visited.complaints == []
    assert [each for each in visited.requests if not each.startswith("data:")] == [file.as_uri()]
    page.context.close()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_larger_benchmark_fits_too(
    browser: Browser, size: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    visited = visit(browser, rendered(tmp_path, large=True), size)
    draw_all(visited.page)
    kept(visited.page, f"large-{size['width']}", tmp_path)
    assert visited.page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert visited.complaints == []
    visited.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, file: Path, scheme: Any) -> None:
    page = visit(browser, file, color_scheme=scheme).page
    found = page.evaluate(CONTRAST)
    assert [each for each in found if each[2] < LEAST_CONTRAST] == []
    page.context.close()


def test_a_change_of_scheme_reaches_what_is_drawn(browser: Browser, file: Path) -> None:
    page = visit(browser, file, color_scheme="light").page
    axis = page.locator("#pareto-chart .role-axis-label text").first
    ink = "each => getComputedStyle(each).fill"
    light = axis.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    assert axis.evaluate(ink) != light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
    page.context.close()


def test_headers_sort_by_mouse_and_by_keyboard(browser: Browser, file: Path) -> None:
    page = visit(browser, file).page
    assert ranks(page) == ["1", "2", "3", "4", "5"]
    accuracy = page.locator("#rows thead th", has_text="test accuracy")
    accuracy.locator("button").click()
    assert accuracy.get_attribute("aria-sort") == "descending"
    accuracy.locator("button").click()
    assert accuracy.get_attribute("aria-sort") == "ascending"
    assert ranks(page) == ["5", "4", "3", "2", "1"]
    latency = page.locator("#rows thead th", has_text="latency").first
    latency.locator("button").focus()
    page.keyboard.press("Enter")
    assert latency.get_attribute("aria-sort") == "ascending"
    assert ranks(page)[:3] == ["3", "2", "1"]
    page.keyboard.press("Space")
    # What was not measured comes last either way.
    assert ranks(page)[:3] == ["1", "2", "3"]
    assert page.locator("#rows th[aria-sort]").count() == 1
    page.context.close()


def test_filters_narrow_the_table_and_say_so(browser: Browser, file: Path) -> None:
    page = visit(browser, file).page
    said = page.locator("#filters output[aria-live=polite]")
    expect(said).to_have_text("5 of 5 rows")
    page.get_by_label("backbone, strategy or weights").fill("VGG formula")
    expect(said).to_have_text("2 of 5 rows")
    assert backbones(page) == ["vgg16_slim", "vgg16_slim"]
    page.locator("#filters [name=strategy]").select_option("fine_tuning")
    expect(said).to_have_text("1 of 5 rows")
    page.get_by_role("button", name="Clear").click()
    expect(said).to_have_text("5 of 5 rows")
    page.get_by_label("not significantly different from the chosen only").check()
    expect(said).to_have_text("1 of 5 rows")
    assert ranks(page) == ["1"]
    page.keyboard.press("Enter")
    assert page.url == file.as_uri()
    page.context.close()


def test_more_columns_are_shown_on_demand(browser: Browser, file: Path) -> None:
    page = visit(browser, file).page
    balanced = page.locator("#rows thead th", has_text="balanced accuracy")
    expect(balanced).to_be_hidden()
    page.get_by_label(re.compile("all [0-9]+ columns")).check()
    expect(balanced).to_be_visible()
    page.context.close()


def test_pareto_chart_has_a_point_per_cell_and_another_cost_on_demand(browser: Browser, file: Path) -> None:
    page = visit(browser, file).page
    points = page.locator("#pareto-chart path[aria-roledescription=point]")
    expect(points).to_have_count(3)
    assert "latency" in page.locator("#pareto-chart svg").inner_html()
    expect(page.locator("[data-front]:visible")).to_have_count(1)
    page.locator("#cost").select_option("size")
    # The first cell's latency was not measured, its size is known.
    expect(points).to_have_count(4)
    assert "model size" in page.locator("#pareto-chart svg").inner_html()
    assert page.locator("[data-front]:visible").get_attribute("data-front") == "size"
    page.context.close()


def test_without_scripts_the_table_and_a_picture_remain(browser: Browser, file: Path) -> None:
    visited = visit(browser, file, java_script_enabled=False)
    page = visited.page
    assert ranks(page) == ["1", "2", "3", "4", "5"]
    expect(page.locator("#rows thead th", has_text="balanced accuracy")).to_be_visible()
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#pareto-chart > svg")).to_be_visible()
    assert visited.complaints == []
    page.context.close()


def test_paper_has_every_chart_and_no_controls(browser: Browser, file: Path, tmp_path: Path) -> None:
    page = visit(browser, file, {"width": 720, "height": 1000}, color_scheme="dark").page
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert page.locator("[data-chart] svg").count() == 3 * 4
    page.emulate_media(media="print")
    expect(page.locator("#filters")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    kept(page, "report-print", tmp_path)
    page.context.close()


def test_structure_leads_a_screen_reader(browser: Browser, file: Path) -> None:
    page = visit(browser, file).page
    levels = [int(each[1]) for each in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("header, nav, main").count() == 3
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("section:not([aria-labelledby])").count() == 0
    for region in page.get_by_role("region").all():
        assert region.get_attribute("aria-label") or region.get_attribute("aria-labelledby")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the findings")).to_be_focused()
    page.context.close()
