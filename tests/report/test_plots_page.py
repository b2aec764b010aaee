"""`make plots`: DVC's plots of the whole benchmark, in a page that asks nobody for anything."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from backbench.comparison.ranking import read_leaderboard
from backbench.comparison.tables import TABLES
from backbench.data.arrays.file_formats import write_yaml
from backbench.report.vega import VEGA_LITE, plots_page_template
from backbench.runtime import paths
from backbench.runtime.atomic_files import write_text
from backbench.stages.compare import write_results
from tests.support.chromium import visit
from tests.support.configs import PROJECT
from tests.support.finished_benchmark import cells, make_finished_benchmark

TEMPLATES = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (PROJECT / ".dvc/plots").glob("*.json")
}
SHOWN = [paths.LEADERBOARD, paths.ALL_TRIALS, paths.ALL_EPOCHS, paths.CONFUSION]
COLUMNS_OF = {
    name: next(table.columns for table in TABLES if table.path == path)
    for name, path in zip(("accuracy", "sweep", "training", "confusion_share"), SHOWN, strict=True)
}


def plots_of(stage: str) -> list[dict[str, dict[str, Any]]]:
    """What dvc.yaml says of a stage's plots."""
    content = OmegaConf.to_container(OmegaConf.load(PROJECT / "dvc.yaml"), resolve=False)
    return content["stages"][stage]["plots"]  # type: ignore[index, call-overload, return-value]


def values_of(node: Any, key: str) -> Iterator[str]:
    """Every text under a key, however deep."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key and isinstance(value, str))
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from values_of(item, key)


def test_the_page_has_its_javascript_and_room_for_the_plots() -> None:
    page = plots_page_template()
    assert page.count("{plot_divs}") == 1
    assert "{scripts}" not in page
    assert "<script src" not in page
    assert "window.vegaEmbed" in page


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_shows_columns_that_its_table_has(name: str) -> None:
    template = TEMPLATES[name]
    made = {*values_of(template, "as"), "rev", "run"}
    fields = {field for field in values_of(template, "field") if not field.startswith("<DVC_METRIC_")}
    assert fields - made <= set(COLUMNS_OF[name])
    assert template["$schema"].endswith(f"/v{VEGA_LITE.partition('.')[0]}.json")


def test_rows_stand_in_the_order_of_their_rank_as_a_number() -> None:
    """DVC hands on texts, of which 10 comes before 2."""
    template = TEMPLATES["accuracy"]
    made = {each["as"]: each["calculate"] for each in template["transform"]}
    assert made[template["spec"]["encoding"]["y"]["sort"]["field"]] == "toNumber(datum.rank)"


@pytest.mark.parametrize("stage", ["sweep", "train", "compare"])
def test_every_plot_of_dvc_yaml_has_a_template_and_a_title(stage: str) -> None:
    for plot in plots_of(stage):
        (shown,) = plot.values()
        assert shown["template"] in TEMPLATES
        assert shown["title"]


def test_make_plots_shows_what_compare_declares() -> None:
    assert sorted(path for plot in plots_of("compare") for path in plot) == sorted(map(str, SHOWN))
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert " ".join(map(str, SHOWN)) in makefile


@pytest.mark.browser
def test_a_browser_draws_every_plot_and_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    make_finished_benchmark()
    write_results(read_leaderboard(cells()))
    dvc = Path(sys.executable).with_name("dvc")
    subprocess.run([dvc, "init", "--quiet", "--no-scm"], check=True)
    shutil.copytree(PROJECT / ".dvc/plots", ".dvc/plots")
    # The same definitions, at the top level: no stage has run here.
    shown = [
        {path: {key: value for key, value in of.items() if key != "cache"}}
        for plot in plots_of("compare")
        for path, of in plot.items()
    ]
    write_yaml(Path("dvc.yaml"), {"plots": shown})
    write_text(paths.PLOTS_TEMPLATE, plots_page_template())
    show = [dvc, "plots", "show", "--html-template", paths.PLOTS_TEMPLATE, "--out", "work/plots"]
    subprocess.run(show, check=True, timeout=60)
    with visit() as visited:
        visited.page.goto((tmp_path / "work" / "plots" / "index.html").as_uri())
        pictures = visited.page.locator("svg.marks")
        pictures.nth(len(SHOWN) - 1).wait_for()
        texts = " ".join(pictures.all_text_contents())
        for word in ("vgg16_slim · fine tuning", "validation loss", "Final models, a line per seed", "<three>"):
            assert word in texts
        assert pictures.count() == len(SHOWN)
        assert visited.errors == []
        assert visited.hosts == {""}
