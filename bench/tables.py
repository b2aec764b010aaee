"""The summaries as tables: on a terminal, and in docs/performance.md between its marks."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from backbench.runtime.markdown import markdown_table
from bench.summary import MISSING, ArmSummary, Limits, Summary

HEADINGS = (
    "arm",
    "study, s",
    "range",
    "repeats",
    "trials run",
    "1st step, s",
    "imports, s",
    "val acc.",
    "apart",
    "/ project",
)
LIMIT_HEADINGS = ("arithmetic alone", "s", "/ predict")
NOT_MEASURED = "Not measured yet."


def arm_lines(summary: Summary) -> list[list[str]]:
    """Return a line per arm; `~` marks a time that stands for more trials than were run."""
    return [_arm_line(arm, summary.ratio(arm)) for arm in summary.arms]


def _arm_line(arm: ArmSummary, ratio: float | None) -> list[str]:
    about = "~" if arm.is_estimate else ""
    return [
        arm.arm,
        f"{about}{arm.seconds:.1f}",
        f"{arm.lowest:.1f} to {arm.highest:.1f}",
        str(arm.num_repeats),
        f"{arm.num_run} of {arm.num_trials}",
        MISSING if arm.first_step_seconds is None else f"{arm.first_step_seconds:.1f}",
        f"{arm.start_seconds:.1f}",
        f"{arm.val_accuracy:.3f}",
        MISSING if arm.accuracy_gap is None else f"{arm.accuracy_gap:.3f}",
        MISSING if ratio is None else f"{about}{ratio:.1f}",
    ]


def limit_lines(limits: Limits) -> list[list[str]]:
    """Return a line per part, and one for what the parts come to."""
    named = {
        "backbone over all images once (predict)": limits.predict,
        "frozen part over all images once": limits.prefix,
        "trained part, one epoch with validation": limits.epoch,
        f"textbook, {limits.num_epochs} epochs: frozen and trained part": limits.textbook,
        f"cached, {limits.num_epochs} epochs: frozen part once, trained part": limits.cached,
    }
    lines = [[name, f"{seconds:.2f}", f"{seconds / limits.predict:.2f}"] for name, seconds in named.items()]
    return [*lines, ["most that caching can gain: textbook / cached", "", f"{limits.textbook / limits.cached:.1f}"]]


def print_summary(summary: Summary, console: Console) -> None:
    """Print both tables of a study."""
    title = f"{summary.study.suite}, {summary.study.backbone}"
    console.print(_rich(f"{title} ({'; '.join(summary.machines)})", HEADINGS, arm_lines(summary)))
    if summary.limits is not None:
        console.print(_rich(f"{title}: the limit", LIMIT_HEADINGS, limit_lines(summary.limits)))


def _rich(title: str, headings: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left")
    for line in lines:
        table.add_row(*line)
    return table


def markdown(summaries: Sequence[Summary]) -> str:
    """Return the tables of a suite's studies as Markdown."""
    parts = []
    for summary in summaries:
        if not summary.arms:
            continue
        parts.append(f"**{summary.study.backbone}**, {'; '.join(summary.machines)}")
        parts.append(markdown_table(HEADINGS, arm_lines(summary)))
        if summary.limits is not None:
            parts.append(markdown_table(LIMIT_HEADINGS, limit_lines(summary.limits)))
    return "\n\n".join(parts) or NOT_MEASURED


def with_table(page: str, name: str, text: str) -> str:
    """Put a text between the page's marks `<!-- bench <name>: begin -->` and `… end -->`.

    Raises:
        ValueError: the page lacks a mark.
    """
    begin, end = f"<!-- bench {name}: begin -->", f"<!-- bench {name}: end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"expected the marks {begin} and {end} in the page, found none; add them")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
