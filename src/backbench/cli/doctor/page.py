"""What the doctor found, on a terminal or in a log."""

from rich.console import Console
from rich.text import Text

from backbench.cli.doctor.cost import Cost
from backbench.cli.doctor.examination import Examination
from backbench.cli.doctor.finding import Finding, Verdict
from backbench.cli.doctor.images import Images
from backbench.runtime.units import duration, size

STYLES = {Verdict.READY: "green", Verdict.WARNING: "yellow", Verdict.MISSING: "bold red"}
WHAT_WIDTH = 18
INDENT = " " * 8


def print_examination(examination: Examination, console: Console) -> None:
    """Print the findings, the cost, and last what to do next."""
    for finding in examination.findings:
        _print_finding(finding, console)
    if examination.cost is not None and examination.images is not None:
        console.print()
        for line in cost_lines(examination.cost, examination.images):
            console.print(Text(line), soft_wrap=True)
    console.print()
    console.print(Text(examination.last_line), soft_wrap=True)


def _print_finding(finding: Finding, console: Console) -> None:
    verdict = (f"{finding.verdict:<8}", STYLES[finding.verdict])
    console.print(Text.assemble(verdict, f"{finding.what:<{WHAT_WIDTH}}{finding.found}"), soft_wrap=True)
    if finding.advice:
        console.print(Text(f"{INDENT}{'':<{WHAT_WIDTH}}→ {finding.advice}"), soft_wrap=True)


def cost_lines(cost: Cost, images: Images) -> list[str]:
    """Spell the cost of a run that finds nothing done."""
    fits = f"{cost.num_trials} trials, {cost.num_final_fits} final fits"
    lines = [
        "A whole run of conf/benchmark.yaml, nothing done before (DVC passes over what is up to date):",
        f"  {cost.num_cells} cells, {cost.num_stages} stages, {fits}",
        f"  {images.num_images:,} images: {images}",
    ]
    lines += [
        f"  {name:<10}{duration(stage.seconds):>11}  {stage.num_measured} of {stage.num_processes} measured here"
        for name, stage in cost.stages.items()
        if stage.num_measured
    ]
    lines += [
        f"  time      {_time(cost)}",
        f"  disk      at most {size(cost.disk_bytes)}, DVC's copies included",
        f"  memory    about {size(cost.memory_bytes)} at the peak, of all processes at once",
    ]
    return lines


def _time(cost: Cost) -> str:
    if cost.wall_seconds is None:
        return f"not measured here yet: `make repro` measures it, and `dvc repro {cost.unmeasured[0]}` a first part"
    return f"at least {duration(cost.wall_seconds)}, {cost.jobs} cells at once: what computing took here before"
