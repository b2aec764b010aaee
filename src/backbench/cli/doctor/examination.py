"""Everything that the doctor looks at, in one order, and what follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from backbench.backbones.weight_files import RANDOM, verify, weight_file
from backbench.cli.doctor.bookkeeping import bookkeeping_findings
from backbench.cli.doctor.cost import Cost, cost_of_run
from backbench.cli.doctor.finding import Finding, Verdict, missing, missing_by, ready, warning
from backbench.cli.doctor.images import Images, data_dvc_finding, image_size_finding, look_at_images
from backbench.cli.doctor.machine import machine_findings, machine_plan, this_machine
from backbench.cli.doctor.packages import constructor_findings, package_findings
from backbench.cli.doctor.plan import Plan, read_plan
from backbench.cli.doctor.worker_findings import workers_finding
from backbench.config import catalog
from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.runtime.errors import BackbenchError, ConfigError, WeightsError
from backbench.runtime.units import duration, size

STYLES = {Verdict.READY: "green", Verdict.WARNING: "yellow", Verdict.MISSING: "bold red"}
WHAT_WIDTH = 18
INDENT = " " * 8


@dataclass(frozen=True)
class Examination:
    """What was found; `images` and `cost` are None where the benchmark or its data cannot be read."""

    findings: tuple[Finding, ...]
    images: Images | None
    cost: Cost | None

    @property
    def is_ready(self) -> bool:
        return not self._of(Verdict.MISSING)

    @property
    def last_line(self) -> str:
        """What to do next."""
        absent, warnings = self._of(Verdict.MISSING), self._of(Verdict.WARNING)
        if absent:
            first = absent[0]
            return f"not ready, {len(absent)} missing; first {first.what}: {first.advice}"
        return f"ready, {len(warnings)} {'warning' if len(warnings) == 1 else 'warnings'}; next: make repro"

    def _of(self, verdict: Verdict) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is verdict]

    def as_json(self) -> dict[str, Any]:
        """Return plain values; sizes in bytes, times in seconds."""
        return {
            "is_ready": self.is_ready,
            "findings": [asdict(finding) for finding in self.findings],
            "images": None if self.images is None else dict(self.images.counts),
            "cost": None if self.cost is None else asdict(self.cost),
            "next": self.last_line,
        }


def examine(jobs: int | None = None) -> Examination:
    """Examine the project in the working directory; `jobs` cells run side by side, None for what `make repro` does."""
    machine = this_machine()
    findings = [*package_findings(), *machine_findings(machine)]
    try:
        plan = read_plan()
    except BackbenchError as error:
        findings += [missing_by("benchmark", ConfigError(line)) for line in error.lines]
        return Examination(tuple(findings), None, None)
    findings += [_benchmark(plan), workers_finding(plan.workers), *constructor_findings(plan.backbones)]
    for weights, backbones in plan.backbones_of_weights:
        findings += weight_findings(backbones, weights)
    found, images = look_at_images(plan.one.dataset, plan.wanted_pixels)
    findings += [*found, data_dvc_finding(plan.one.dataset), *bookkeeping_findings(plan.one.tracking)]
    if images is None:
        return Examination(tuple(findings), None, None)
    findings.append(image_size_finding(plan, images))
    at_once = machine_plan(plan, images, machine, jobs=jobs)
    cost = cost_of_run(plan, images, jobs=at_once.num_cells_at_once)
    findings += at_once.findings
    if cost.disk_bytes > machine.free_disk_bytes:
        shortage = f"at most {size(cost.disk_bytes)}, {size(machine.free_disk_bytes)} free"
        advice = "make room, or lower activation_limit_gigabytes or views in conf/strategy/: the rest is computed"
        findings.append(warning("disk", shortage, advice))
    return Examination(tuple(findings), images, cost)


def _benchmark(plan: Plan) -> Finding:
    benchmark = plan.one.benchmark
    parts = f"{len(benchmark.backbones)} backbones x {len(benchmark.strategies)} strategies on {benchmark.dataset}"
    unknown = [backbone.name for backbone in plan.backbones if not backbone.num_parameters]
    if unknown:
        advice = "add num_parameters to their files: without it memory and disk below leave their weights out"
        return warning("benchmark", f"{parts}; sizes are not known of {', '.join(unknown)}", advice)
    weights = ", ".join(weights.name for weights, _ in plan.backbones_of_weights)
    return ready("benchmark", f"{parts}, weights {weights}, search {benchmark.search}")


def weight_findings(backbones: Sequence[BackboneConfig], weights: WeightsConfig) -> Iterator[Finding]:
    """Yield one finding for all files that are as they should be, and one for each that is not."""
    if weights.name == RANDOM:
        yield ready("weights", f"random, drawn from seed {weights.seed}: no file is needed")
        return
    findings = [(backbone, _weight_finding(backbone, weights)) for backbone in backbones]
    good = [backbone for backbone, finding in findings if finding.verdict is Verdict.READY]
    if good:
        num_bytes = sum(catalog.weights_bytes(backbone) or 0 for backbone in good)
        in_memory = f"; {size(num_bytes)} in float32" if num_bytes else ""
        yield ready("weights", f"{weights.name}: {len(good)} of {len(findings)} files lie here, whole{in_memory}")
    yield from (finding for _, finding in findings if finding.verdict is not Verdict.READY)


def _weight_finding(backbone: BackboneConfig, weights: WeightsConfig) -> Finding:
    try:
        file = weight_file(backbone, weights)
        assert file is not None
        if file.source is not None and not file.path.is_file():
            num_bytes = catalog.weights_bytes(backbone)
            about = ", ".join([*([size(num_bytes)] if num_bytes else []), file.licence or "licence not stated"])
            found = f"{backbone.name}: not fetched yet ({about}), from {file.source}"
            return missing("weights", found, f"run `make weights`; without a network, put it at {file.path}")
        verify(file)
    except WeightsError as error:
        return missing_by("weights", error)
    return ready("weights", str(file.path))


def print_examination(examination: Examination, console: Console) -> None:
    """Print the findings, the cost, and last what to do next."""
    for finding in examination.findings:
        verdict = (f"{finding.verdict:<8}", STYLES[finding.verdict])
        console.print(Text.assemble(verdict, f"{finding.what:<{WHAT_WIDTH}}{finding.found}"), soft_wrap=True)
        if finding.advice:
            console.print(Text(f"{INDENT}{'':<{WHAT_WIDTH}}→ {finding.advice}"), soft_wrap=True)
    if examination.cost is not None and examination.images is not None:
        console.print()
        for line in cost_lines(examination.cost, examination.images):
            console.print(Text(line), soft_wrap=True)
    console.print()
    console.print(Text(examination.last_line), soft_wrap=True)


def cost_lines(cost: Cost, images: Images) -> list[str]:
    """Spell the cost of a run that finds nothing done."""
    fits = f"{cost.num_trials} trials, {cost.num_final_fits} final fits"
    if cost.wall_seconds is None:
        time = f"not measured here yet: `make repro` measures it, and `dvc repro {cost.unmeasured[0]}` a first part"
    else:
        time = f"at least {duration(cost.wall_seconds)}, {cost.jobs} cells at once: what computing took here before"
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
        f"  time      {time}",
        f"  disk      at most {size(cost.disk_bytes)}, DVC's copies included",
        f"  memory    about {size(cost.memory_bytes)} at the peak, of all processes at once",
    ]
    return lines
