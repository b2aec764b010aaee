"""The page stands alone, says the answer first, and is the same bytes for the same results."""

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from backbench.comparison.conclusions import answer
from backbench.comparison.leaderboard import Leaderboard, value_at
from backbench.comparison.ranking import read_leaderboard
from backbench.comparison.strategy_effects import transferability
from backbench.data.arrays.file_formats import read_json, write_json
from backbench.evaluation.predictions import Predictions
from backbench.report.cell_charts import (
    MAX_CHOSEN_CLASSES,
    confused_pairs,
    confusion_picture,
    mean_confusion,
    worst_mistakes,
)
from backbench.report.columns import missing
from backbench.report.leaderboard_charts import axes_of
from backbench.report.near_copies import MAX_NEAR_COPIES, near_copies
from backbench.report.page import MAX_REJECTED, DataCard, data_uri, render_page
from backbench.report.vega import json_in_html, vega_bundle
from backbench.runtime import paths
from backbench.runtime.environment import Environment
from backbench.stages.compare import data_card, print_leaderboard
from tests.support.finished_benchmark import (
    cells,
    make_finished_benchmark,
    make_uneven_benchmark,
    measured,
    write_cell,
    write_pixels,
)

ENVIRONMENT = Environment({"Python": "3.11.7", "keras": "3.15.1"}, "tensorflow", "Linux, a machine", "c" * 40)
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


def page(found: Leaderboard | None = None, card: DataCard | None = None) -> str:
    return render_page(found or measured(leaderboard()), card or data_card(), ENVIRONMENT)


def own_text(text: str) -> str:
    """The page without Vega's code and without the bytes of images."""
    text = text.replace(vega_bundle(), "")
    return re.sub(r"data:image/(png|jpeg);base64,[^\"]*", "", text)


def test_page_loads_nothing_from_anywhere() -> None:
    loads = Loads()
    text = page()
    loads.feed(text)
    assert loads.addresses
    assert all(address.startswith(("data:", "#")) for address in loads.addresses)
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", own_text(text))


def test_page_has_no_id_twice() -> None:
    loads = Loads()
    loads.feed(page())
    assert len(loads.ids) == len(set(loads.ids))


def test_page_is_the_same_bytes_twice() -> None:
    assert page() == page()


def test_page_shows_no_place_and_no_time_of_this_machine(tmp_path: Path) -> None:
    text = own_text(page())
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


def test_page_says_what_was_not_measured_and_leaves_the_choice_out() -> None:
    text = page(leaderboard())
    assert "fastest, not" not in text
    assert "Not measured on this machine, and so no ground for a choice here: latency, throughput" in text
    assert '<option value="latency">' not in text
    assert '<option value="size">' in text
    assert [axis.key for axis in axes_of(leaderboard())] == ["size", "parameters"]
    assert missing(leaderboard()) == ["latency", "throughput", "peak memory", "time of search and training"]


def test_page_recommends_with_reasons() -> None:
    text = page()
    for wish in (
        "chosen",
        "fastest, not significantly worse on validation",
        "smallest within 1 point of validation accuracy",
    ):
        assert f"<dt>{wish}</dt>" in text
    chosen = leaderboard().chosen
    assert f"The lowest validation loss, {chosen.val_loss:.3f}; test accuracy 0.952." in text


def test_page_has_both_rankings_and_says_which_is_for_choosing() -> None:
    write_cell(cells()[0], 1.0, seed=0, val_accuracy=0.5)
    text = page()
    assert "Ranked by validation loss, the mean over the seeds of the final models; the first row is the chosen" in text
    assert "Ranking by test accuracy: for looking at, not for choosing</h2>" in text
    assert "Chosen by the lowest validation loss" in text
    ranking = text.split("for looking at, not for choosing</h2>")[1]
    first = ranking.split("<tbody>")[1].split("</tr>")[0]
    assert first.startswith('\n<tr class=""><td>1</td><td>')
    assert "resnet50_" in first


def test_page_shows_balanced_accuracy_and_worst_class_where_accuracy_may_hide_one() -> None:
    assert column_classes(page()) == {"balanced accuracy": " more", "worst class": " more"}
    found = page(read_leaderboard(make_uneven_benchmark()))
    assert column_classes(found) == {"balanced accuracy": "", "worst class": ""}
    assert "but it finds the class &lt;local&gt; in only 1.7 % of its 100 test images" in found
    assert (
        "But it finds the class &lt;local&gt; in only 1.7 % of its 100 test images" in found.split("<dt>chosen</dt>")[1]
    )
    assert "&lt;local&gt; 0.017 of 100" in found


def column_classes(text: str) -> dict[str, str]:
    heads = re.findall(r'<th scope="col" class="([^"]*)"[^>]*><button type="button">([^<]*)</button>', text)
    return {name: classes for classes, name in heads if name in ("balanced accuracy", "worst class")}


def test_pareto_fronts_run_from_cheap_to_dear() -> None:
    latency = axes_of(measured(leaderboard()))[0]
    assert latency.front == ("resnet50_slim-fine_tuning", "vgg16_slim-feature_extraction", "vgg16_slim-fine_tuning")
    assert "resnet50_slim-feature_extraction" not in latency.values
    assert not any("pixels" in axis.values for axis in axes_of(leaderboard()))


def test_rejected_files_are_listed_with_their_reason_and_cut_off() -> None:
    text = page()
    assert "één/&lt;broken&gt;.jpg" in text
    assert "exact duplicate of zero/a.png" in text
    card = data_card()
    many = [{"path": f"{number}.png", "verdict": "unreadable", "split": ""} for number in range(MAX_REJECTED + 7)]
    assert "50.png" not in page(card=replace(card, manifest=many))


def near_card(content: dict[str, int], num_pairs: int = 3) -> DataCard:
    """A card of so many near copies: the first in another split, the second of another class."""
    rows = []
    for number in range(num_pairs):
        first = {"path": f"zero/{number:02}.png", "label": "zero", "split": "train", "position": str(number)}
        second = {"path": f"zero/<{number:02}>.png", "label": "zero", "split": "train", "position": str(number + 1)}
        second |= {0: {"split": "test"}, 1: {"label": "één"}}.get(number, {})
        rows += [first | {"near_copy_of": ""}, second | {"near_copy_of": first["path"]}]
    images = {split: np.zeros((num_pairs + 1, 8, 8, 3), np.uint8) for split in ("train", "val", "test")}
    card = data_card()
    found = near_copies(rows[::-1], images)
    return replace(card, content={**card.content, "near_copies": content}, near_copies=found)


def test_near_copies_stand_beside_their_images_those_first_that_are_odd() -> None:
    card = near_card({"num_images": 3, "num_in_other_class": 1, "num_in_other_split": 1})
    assert [(each.copy.path, each.remark) for each in card.near_copies] == [
        ("zero/<01>.png", "another class"),
        ("zero/<00>.png", "another split"),
        ("zero/<02>.png", ""),
    ]
    text = " ".join(page(card=card).split())
    assert "3 images are nearly a copy of another one" in text
    assert "<strong>1 of them in another split than its image</strong>" in text
    assert "1 is of another class than its image" in text
    assert "zero/&lt;00&gt;.png <small>zero, test</small>" in text
    assert "zero/&lt;01&gt;.png <small>één, train</small>" in text
    assert text.count('alt="The copy"') == text.count('alt="The image"') == 3


def test_a_dozen_near_copies_are_shown_and_their_number_said() -> None:
    counts = {"num_images": 40, "num_in_other_class": 0, "num_in_other_split": 0}
    text = " ".join(page(card=near_card(counts, num_pairs=40)).split())
    assert text.count('alt="The copy"') == MAX_NEAR_COPIES
    assert f"{MAX_NEAR_COPIES} of 40; <code>near_copy_of</code>" in text
    assert "None of them is in another split than its image." in text
    assert "near_copy_of" not in page()


def test_rare_classes_and_litter_are_named_with_their_numbers() -> None:
    text = " ".join(page().split())
    rare = "1 class is no part of the benchmark, for having fewer than 6 usable images (<code>min_per_class</code>)"
    assert f"{rare}: &lt;two&gt; (5)." in text
    assert "Folders that systems leave, not looked into: @eaDir (3)." in text
    card = data_card()
    content = {**card.content, "rare_classes": {f"class{n}": 1 for n in range(MAX_REJECTED + 1)}, "litter": {}}
    text = " ".join(page(card=replace(card, content=content)).split())
    assert f"class{MAX_REJECTED - 1} (1), …." in text
    assert f"class{MAX_REJECTED} " not in text
    assert "Folders that systems leave" not in text


def test_page_says_what_it_was_run_with() -> None:
    text = page()
    for word in (ENVIRONMENT.machine, "c" * 40, "3.15.1", "A CPU, 2 cores"):
        assert word in text
    nowhere = replace(ENVIRONMENT, commit=None)
    shown = render_page(leaderboard(), data_card(), nowhere)
    assert "not in a git repository" in shown


def test_surest_mistakes_come_first_and_are_of_the_mean_over_seeds() -> None:
    labels = np.array([0, 1, 0], dtype=np.int32)
    first = [[0.1, 0.9], [0.9, 0.1], [0.4, 0.6]]
    second = [[0.3, 0.7], [0.9, 0.1], [0.8, 0.2]]
    found = worst_mistakes(Predictions.of_seeds({0: np.float32(first), 1: np.float32(second)}, labels))
    # The third image is wrong for one seed, and right on average.
    assert [(each.position, each.actual, each.predicted) for each in found] == [(1, 1, 0), (0, 0, 1)]
    assert found[1].confidence == pytest.approx(0.8)


def test_confused_pairs_are_over_all_seeds() -> None:
    labels = np.array([0, 0, 1], dtype=np.int32)
    right, wrong = np.float32([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.1, 0.9, 0]]), np.float32([[0, 1, 0]] * 3)
    share = mean_confusion(Predictions.of_seeds({0: right, 1: wrong}, labels))
    assert [(pair.actual, pair.predicted, pair.share) for pair in confused_pairs(share, "abc")] == [("a", "b", 0.5)]


def test_logme_is_not_praised_for_what_chance_would_do() -> None:
    row = leaderboard().chosen

    def found(*accuracies: float) -> str:
        metrics = [
            replace(row.metrics, backbone=str(place), logme=-place, mean={"test_accuracy": accuracy})
            for place, accuracy in enumerate(accuracies)
        ]
        return transferability([replace(row, metrics=each) for each in metrics]).words

    assert "in 33 % of cases: too few" in found(0.9, 0.8, 0.7)
    assert "LogME predicted the order" in found(*np.linspace(0.9, 0.1, 8))
    assert "LogME predicted the opposite order" in found(*np.linspace(0.1, 0.9, 8))
    assert "at least three" in found()


def test_data_of_charts_cannot_end_their_script() -> None:
    assert json_in_html({"a": "</script><b>"}) == '{"a":"\\u003c/script>\\u003cb>"}'


def test_large_images_become_thumbnails() -> None:
    image = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    assert data_uri(image).startswith("data:image/jpeg")
    assert len(data_uri(image)) < 40_000
    assert data_uri(image[:64, :64]).startswith("data:image/png")


def test_answer_says_that_a_clear_choice_is_ahead() -> None:
    sentence = answer(leaderboard())
    assert sentence.startswith("vgg16_slim with fine_tuning is chosen by validation. Its test accuracy is 0.9")
    assert "ahead of every other there: of vgg16_slim with feature_extraction by " in sentence
    assert "from raw pixels" in sentence
    assert "\n" not in sentence


def test_answer_says_that_transfer_did_not_pay() -> None:
    write_pixels(0.995)
    sentence = answer(leaderboard())
    assert sentence.startswith("Logistic regression on raw pixels is chosen by validation.")
    assert "against" not in sentence


def test_pictures_have_a_text_for_those_who_do_not_see_them() -> None:
    text = page()
    text = own_text(text)
    # Accuracy, the Pareto front, strategies, confusion; what a script draws gets its text from data-label.
    assert text.count("<svg") == text.count('<svg role="img" aria-label="') == 4
    assert text.count("data-chart=") == text.count("data-label=") == 3 * len(cells())


def test_too_many_classes_have_no_confusion_picture() -> None:
    num_classes = MAX_CHOSEN_CLASSES + 1
    assert confusion_picture(np.eye(num_classes), [str(index) for index in range(num_classes)]) is None


def test_dollar_signs_in_class_names_are_not_formulas() -> None:
    picture = confusion_picture(np.eye(2), ["$5", "$10 & <more>"])
    assert picture is not None
    assert "$10 &amp; " in picture


def test_logs_get_aligned_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_leaderboard(leaderboard(), Console())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 5 + 1 + 2
    assert lines[1].split()[:3] == ["1", "vgg16_slim", "fine_tuning"]
    assert lines[0].index("test accuracy") == lines[1].index("0.9")
    assert "worst class" not in lines[0]
    assert lines[-2].startswith("vgg16_slim with fine_tuning is chosen by validation. ")
    assert lines[-1].startswith("Chosen by the lowest validation loss")


def test_the_terminal_says_which_class_the_accuracy_hides(capsys: pytest.CaptureFixture[str]) -> None:
    print_leaderboard(read_leaderboard(make_uneven_benchmark()), Console())
    lines = capsys.readouterr().out.splitlines()
    assert re.search("test accuracy  balanced accuracy +worst class", lines[0])
    assert re.search("0.748 ± 0.003 +0.668 +<local> 0.017 of 100", lines[1])
    assert lines[-2].startswith(
        "vgg16_slim with fine_tuning is chosen by validation, but it finds the class <local> in"
    )


def test_rows_that_saw_enlarged_images_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Photographs of 8 pixels a side: resnet50_slim takes 12 here, vgg16_slim 8."""
    words = "resnet50_slim: all images are enlarged to 12 px, 1.50 times in the median"
    print_leaderboard(leaderboard(), Console())
    assert capsys.readouterr().out.splitlines()[-3] == words
    assert words.replace("_", "_<wbr>") in page()
    shares = {row.backbone: value_at(row, "enlarged.share") for row in leaderboard().rows}
    assert shares == {"resnet50_slim": 1.0, "vgg16_slim": 0.0, "pixels": None}
    content = read_json(paths.DATASET / "dataset.json", made_by="prepare")
    write_json(paths.DATASET / "dataset.json", {**content, "image_size_pixels": 12, "sides": {"12": 150}})
    assert leaderboard().enlarged == {}
    assert "sees them enlarged" not in page()


def test_what_only_some_data_sets_have_is_on_the_page() -> None:
    content = read_json(paths.DATASET / "dataset.json", made_by="prepare")
    groups = {"by": "column patient", "num_groups": {"train": 1200, "val": 3, "test": 4}}
    floats = {"low": 0.0, "high": 2.5, "num_images": 1500}
    more = {"labels": "labels.csv", "groups": groups, "floats": floats, "num_with_more_pages": 7}
    write_json(paths.DATASET / "dataset.json", {**content, **more})
    text = page()
    assert "<dt>labels</dt><dd>of <code>labels.csv</code></dd>" in text
    assert (
        "<dt>groups</dt><dd>by column patient, none in two splits: train 1,200, val 3, test 4; intervals draw" in text
    )
    assert "<dt>floating-point values</dt><dd>1,500 images, scaled from 0.0 to 2.5</dd>" in text
    assert "<dt>more pages</dt><dd>7 TIFFs, " in text


def test_depth_and_nearly_constant_images_are_on_the_page() -> None:
    assert "deeper than 8 bits" not in page()
    content = read_json(paths.DATASET / "dataset.json", made_by="prepare")
    depth = {"bits": 12, "is_declared": False, "largest_value": 4000, "num_images": 1500}
    write_json(paths.DATASET / "dataset.json", {**content, "depth": depth, "num_nearly_constant": 7})
    text = page()
    assert "1,500 images deeper than 8 bits, scaled as 12-bit" in text
    assert "<dt>nearly constant</dt><dd>7 images" in text
    assert "8 × 8 pixels, by crop" in text


def test_terminals_get_a_table() -> None:
    console = Console(force_terminal=True, width=160, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    print_leaderboard(leaderboard(), console)
    console.file.close()
    assert "┃" in console.export_text()
