"""Everything that the doctor looks at, in one order, and what follows from it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backbench.cli.doctor.bookkeeping import bookkeeping_findings
from backbench.cli.doctor.cells_at_once import machine_plan
from backbench.cli.doctor.cost import Cost, cost_of_run
from backbench.cli.doctor.finding import Finding, Verdict, missing_by, ready, warning
from backbench.cli.doctor.image_size import image_size_finding
from backbench.cli.doctor.images import Images, data_dvc_finding, look_at_images
from backbench.cli.doctor.machine import Machine, machine_findings, this_machine
from backbench.cli.doctor.packages import constructor_findings, package_findings
from backbench.cli.doctor.plan import Plan, read_plan
from backbench.cli.doctor.weight_files import weight_findings
from backbench.runtime.errors import BackbenchError, ConfigError
from backbench.runtime.units import size


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
            "cost": None if self.cost is None else self.cost.as_json(),
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
    findings += [_benchmark(plan), *constructor_findings(plan.backbones)]
    findings += weight_findings(plan.backbones, plan.one.weights)
    found, images = look_at_images(plan.one.dataset, plan.wanted_pixels)
    findings += [*found, data_dvc_finding(plan.one.dataset), *bookkeeping_findings(plan.one.tracking)]
    if images is None:
        return Examination(tuple(findings), None, None)
    findings.append(image_size_finding(plan, images))
    at_once = machine_plan(plan, images, machine, jobs=jobs)
    cost = cost_of_run(plan, images, jobs=at_once.num_cells_at_once)
    return Examination((*findings, *at_once.findings, *_shortages(cost, machine)), images, cost)


def _benchmark(plan: Plan) -> Finding:
    benchmark = plan.one.benchmark
    parts = f"{len(benchmark.backbones)} backbones x {len(benchmark.strategies)} strategies on {benchmark.dataset}"
    unknown = [backbone.name for backbone in plan.backbones if not backbone.num_parameters]
    if unknown:
        advice = "add num_parameters to their files: without it memory and disk below leave their weights out"
        return warning("benchmark", f"{parts}; sizes are not known of {', '.join(unknown)}", advice)
    return ready("benchmark", f"{parts}, weights {benchmark.weights}, search {benchmark.search}")


def _shortages(cost: Cost, machine: Machine) -> Sequence[Finding]:
    findings = []
    if cost.disk_bytes > machine.free_disk_bytes:
        found = f"at most {size(cost.disk_bytes)}, {size(machine.free_disk_bytes)} free"
        advice = "make room, or lower activation_limit_gigabytes or views in conf/strategy/: the rest is computed"
        findings.append(warning("disk", found, advice))
    return findings
