"""The page of the formula weights shows the ablation that was measured."""

import csv

import pytest

from tests.support.configs import PROJECT

with (PROJECT / "docs/source-ablation.csv").open(encoding="utf-8", newline="") as file:
    ROWS = {row["variant"]: row for row in csv.DictReader(file)}
PAGE = (PROJECT / "docs/formula-weights.md").read_text(encoding="utf-8")


def test_every_part_of_the_mixture_was_left_out_once() -> None:
    parts = set(ROWS["all"]["parts"].split("+"))
    assert {f"without {part}" for part in parts} <= set(ROWS)


@pytest.mark.parametrize("variant", ROWS)
def test_the_page_shows_what_was_measured(variant: str) -> None:
    row = ROWS[variant]
    shown = [
        f"{100 * float(row[f'{target}_mean']):.1f} ± {100 * float(row[f'{target}_half_width']):.1f}"
        for target in ("photodigits", "digits", "far_target")
    ]
    assert f"| {variant} | {' | '.join(shown)} |" in PAGE
