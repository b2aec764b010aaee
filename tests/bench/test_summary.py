"""Hand-made rows to tables: whole studies, estimates, limits."""

from pathlib import Path
from typing import Any

import pytest
from bench.command import PAGE, write_docs
from bench.rows import Measurement, Row, append_rows, read_rows
from bench.studies import FEATURE_EXTRACTION, study_of
from bench.summary import Summary, summarise
from bench.tables import arm_lines, markdown, with_table

STUDY = study_of(FEATURE_EXTRACTION, "resnet50")


def row(arm: str, trial: str, seconds: float | None, repeat: int = 0, **more: Any) -> Row:
    identity = {"suite": FEATURE_EXTRACTION, "backbone": "resnet50", "arm": arm, "repeat": repeat, "trial": trial}
    provenance = {"machine": "2 x some processor", "versions": "", "commit": "", "finished_at": ""}
    return Row(**identity, seconds=seconds, **provenance, **more)


def summary_of(num_textbook_trials: int) -> Summary:
    rows = [row(arm, "start", 5.0) for arm in ("project", "textbook", "limits")]
    for repeat, seconds in enumerate((10.0, 12.0, 50.0)):
        rows.append(row("project", "study", seconds, repeat, val_loss=0.5, val_accuracy=0.9))
        rows.append(row("project", "embed", 1.0, repeat))
        rows += [row("project", str(trial), None, repeat, val_loss=0.5, val_accuracy=0.9) for trial in range(16)]
    for trial in range(num_textbook_trials):
        loss, accuracy = 1.0 / (trial + 1), trial / 16
        rows.append(
            row("textbook", str(trial), 6.0 + trial % 3, first_step_seconds=2.0, val_loss=loss, val_accuracy=accuracy)
        )
    rows += [row("limits", trial, seconds) for trial, seconds in (("predict", 4.0), ("prefix", 3.0), ("epoch", 0.5))]
    return summarise(STUDY, rows)


def test_a_whole_study_is_the_sum_of_its_trials_and_the_median_of_its_repeats() -> None:
    project, textbook = summary_of(16).arms
    assert (project.seconds, project.lowest, project.highest, project.num_repeats) == (12.0, 10.0, 50.0, 3)
    assert textbook.seconds == pytest.approx(6 * 6 + 5 * 7 + 5 * 8)
    assert textbook.val_accuracy == 15 / 16
    assert not textbook.is_estimate


def test_a_study_of_which_some_trials_ran_is_estimated_and_says_so() -> None:
    summary = summary_of(3)
    textbook = summary.arms[1]
    assert textbook.seconds == 7.0 * 16
    line = arm_lines(summary)[1]
    assert line[1] == "~112.0"
    assert line[4] == "3 of 16"
    assert line[-1] == "~9.3"


def test_accuracies_are_compared_trial_by_trial() -> None:
    project, textbook = summary_of(3).arms
    assert project.accuracy_gap is None
    assert textbook.accuracy_gap == pytest.approx(0.9)  # the first trial: 0 here, 0.9 in this project


def test_the_limit_is_what_keeping_activations_saves() -> None:
    limits = summary_of(1).limits
    assert limits is not None
    assert limits.num_epochs == 160
    assert limits.textbook == 160 * 3.5
    assert limits.cached == 3 + 160 * 0.5


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    measured = Measurement(trial="0", seconds=0.1 + 0.2, val_loss=1e-17)
    for repeat in range(2):
        append_rows(table, [measured], suite="fine_tuning", backbone="resnet50", arm="textbook", repeat=repeat)
    rows = read_rows(table)
    assert [found.repeat for found in rows] == [0, 1]
    assert (rows[0].seconds, rows[0].val_loss, rows[0].learning_rate) == (0.1 + 0.2, 1e-17, None)


def test_the_page_has_the_marks_and_takes_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(with_table(PAGE.read_text(), "fine_tuning", "an old table"))
    write_docs(page, results=tmp_path)
    assert page.read_text().count("Not measured yet.") == 2
    assert "an old table" not in page.read_text()
    text = markdown([summary_of(3)])
    assert "**resnet50**, 2 x some processor" in text
    assert "| textbook | ~112.0 |" in text


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="bench fine_tuning: begin"):
        with_table("no marks here", "fine_tuning", "table")
