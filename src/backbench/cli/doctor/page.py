"""What the doctor found, on a terminal or in a log."""

from rich.console import Console
from rich.text import Text

from backbench.cli.doctor.cost import Cost, StageCost
from backbench.cli.doctor.examination import Examination
from backbench.cli.doctor.finding import Finding, Verdict
from backbench.cli.doctor.images import Images
from backbench.runtime.units import duration, size

STYLES = {Verdict.READY: "green", Verdict.WARNING: "yellow", Verdict.MISSING: "bold red"}
WHAT_WIDTH = 18
INDENT = " " * 8
UNCERTAINTY = "within a factor of 3"


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
        f"  {name:<10}{duration(stage.seconds):>11}  {_of_processes(stage)}" for name, stage in cost.stages.items()
    ]
    lines += [
        f"  time      about {duration(cost.wall_seconds)}, {cost.jobs} cells at once; {_how_sure(cost)}",
        f"  disk      at most {size(cost.disk_bytes)}, DVC's copies included",
        f"  memory    about {size(cost.memory_bytes)} at the peak, of all processes at once",
    ]
    return lines


def _of_processes(stage: StageCost) -> str:
    processes = f"{stage.num_processes} {'process' if stage.num_processes == 1 else 'processes'}"
    if not stage.num_measured:
        return f"{processes}, estimated"
    return f"{processes}, {'all' if stage.num_measured == stage.num_processes else stage.num_measured} measured before"


def _how_sure(cost: Cost) -> str:
    stages = cost.stages.values()
    if all(stage.num_measured == stage.num_processes for stage in stages):
        return "as long as the run before took here"
    return f"{UNCERTAINTY}, no trial stopped early"
