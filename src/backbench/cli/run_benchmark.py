"""Run the benchmark of conf/benchmark.yaml, several cells at once: `python -m backbench.cli.run_benchmark [--jobs N]`.

DVC decides what runs. A cell that fails does not keep the others from their row; the comparison names it.
"""

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from backbench.cli.doctor.machine import MachinePlan, plan_for_this_machine
from backbench.cli.doctor.plan import Plan, read_plan
from backbench.cli.dvc_stages import FAILED, is_up_to_date
from backbench.data.arrays.file_formats import write_json
from backbench.results.compute import EMBED, SWEEP, TRAIN
from backbench.runtime import paths
from backbench.runtime.console import Advance, progress_bar, progress_of
from backbench.runtime.errors import BackbenchError, tell
from backbench.runtime.installation import require_own_code
from backbench.runtime.paths import Cell
from backbench.runtime.versions import record_versions

REFUSED, INTERRUPTED = 2, 130
REPORT = paths.REPORT / "index.html"
BASELINE = "pixels-logistic_regression"
PRINTING = threading.Lock()


Heard = Callable[[str], None]


def run_stages(
    *stages: str, alone: bool = False, force: bool = False, heard: Heard | None = None, gpu: str | None = None
) -> str | None:
    """Run stages one after another, in a process of DVC's; return which did not end well and why, or None.

    Args:
        stages: Their names; none is all of dvc.yaml.
        alone: Run no stage that one of them depends on.
        force: Run them though nothing changed.
        heard: Told every line that they print; without, they have the terminal to themselves and may draw bars.
        gpu: The one GPU that they see; None is whatever the machine shows them.
    """
    options = [*(["--alone"] if alone else []), *(["--force"] if force else [])]
    command = [sys.executable, "-m", "backbench.cli.dvc_stages", *options, *stages]
    # The lock of the checkout is handed on, so that it is held for as long as a stage runs.
    out = subprocess.PIPE if heard else None
    environment = os.environ if gpu is None else {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}
    with subprocess.Popen(
        command, stdout=out, stderr=subprocess.PIPE, text=True, close_fds=False, env=environment
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        copying = threading.Thread(target=_copy, args=(process.stdout, sys.stdout, heard))
        copying.start()
        _copy(process.stderr, sys.stderr, said.append)
        copying.join()
    return None if process.returncode == 0 else failure(said)


def failure(said: Sequence[str]) -> str:
    """Find in the lines of a process of DVC's which stage failed, and all that it says of why."""
    failed = next((line.removeprefix(FAILED) for line in said if line.startswith(FAILED)), "dvc.yaml")
    stage, _, how = failed.partition(" ")
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    last_words = [line for line in said if FAILED not in line][-1:]
    return f"{stage.rstrip(':')}: {how or '; '.join(errors or last_words) or 'it left no word'}"


def _copy(source: IO[str] | None, target: IO[str], heard: Heard | None) -> None:
    """Copy whole lines, for cells beside this one print too."""
    for line in source or ():
        with PRINTING:
            target.write(line)
            target.flush()
            if heard is not None:
                heard(line.strip())


@dataclass(frozen=True)
class Job:
    """Stages that run one after another; `rows` of the comparison fail with them, and `then` runs after them."""

    stages: tuple[str, ...]
    rows: tuple[str, ...]
    then: tuple["Job", ...] = ()


def jobs_of(cells: Sequence[Cell]) -> list[Job]:
    """Return the baseline, and for every backbone its pass over the images, then its cells."""
    jobs = [Job(("baseline",), (BASELINE,))]
    for backbone in dict.fromkeys(cell.backbone for cell in cells):
        own = [str(cell) for cell in cells if cell.backbone == backbone]
        of_cells = tuple(Job((f"{SWEEP}@{cell}", f"{TRAIN}@{cell}"), (cell,)) for cell in own)
        jobs.append(Job((f"{EMBED}@{backbone}",), tuple(own), of_cells))
    return jobs


class Fits:
    """Counts the fits of a benchmark, trials and seeds alike, by the lines that its stages print."""

    def __init__(self, num_of_stages: Mapping[str, int], advance: Advance) -> None:
        """Take how many each stage has, by its name in messages, such as `sweep resnet50-fine_tuning`."""
        self._left, self._advance = dict(num_of_stages), advance

    def hear(self, line: str) -> None:
        """Note how far a line says that its stage is."""
        title, done, total = progress_of(line) or ("", 0, 0)
        self._leave(title, total - done)

    def end(self, *stages: str) -> None:
        """Note that stages have ended, also those of which nothing had to run."""
        for stage in stages:
            self._leave(stage.replace("@", " "), 0)

    def _leave(self, title: str, num_left: int) -> None:
        if num_left < self._left.get(title, 0):
            count, self._left[title] = self._left[title] - num_left, num_left
            self._advance(count)


def run_cells(cells: Sequence[Cell], machine: MachinePlan, fits: Fits | None = None) -> dict[str, str]:
    """Run every cell's stages and the baseline, as many at once as the machine takes; return what failed, by row.

    `fits` counts what they do; without, a stage has the terminal to itself, and may draw its own bar.
    """
    num_at_once = machine.num_cells_at_once
    gpus = SimpleQueue[str | None]()
    for number in range(num_at_once):
        gpus.put(machine.gpus[number % len(machine.gpus)] if machine.gpus else None)

    def run(job: Job) -> str | None:
        gpu = gpus.get()
        try:
            return run_stages(*job.stages, alone=True, heard=None if fits is None else fits.hear, gpu=gpu)
        finally:
            gpus.put(gpu)

    failed: dict[str, str] = {}
    with ThreadPoolExecutor(num_at_once) as pool:
        running = {pool.submit(run, job): job for job in jobs_of(cells)}
        try:
            while running:
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    job, reason = running.pop(ended), ended.result()
                    if fits is not None:
                        with PRINTING:
                            fits.end(*job.stages)
                    if reason is None:
                        running |= {pool.submit(run, following): following for following in job.then}
                    else:
                        failed |= dict.fromkeys(job.rows, reason)
        finally:
            pool.shutdown(cancel_futures=True)  # whoever interrupts wants no further cell begun
    return failed


def run_benchmark(plan: Plan, machine: MachinePlan) -> int:
    """Run what DVC finds changed, and return the exit code: 2 where something failed."""
    paths.FAILED.unlink(missing_ok=True)
    before = _report_time()
    if run_stages("prepare", "boundaries", "backbones"):
        return REFUSED
    cells = [config.cell for config in plan.cells]
    if machine.num_cells_at_once == 1:
        failed = run_cells(cells, machine)
    else:
        num_fits = {f"{SWEEP} {config.cell}": config.search.num_trials for config in plan.cells}
        num_fits |= {f"{TRAIN} {config.cell}": len(config.benchmark.seeds) for config in plan.cells}
        with progress_bar("benchmark", sum(num_fits.values()), "fits") as advance:
            failed = run_cells(cells, machine, Fits(num_fits, advance))
    if failed:
        _compare_the_others(plan, failed)
        return REFUSED
    if run_stages():
        return REFUSED
    return 0 if _report_time() != before else _with_report(plan)


def _report_time() -> int:
    return REPORT.stat().st_mtime_ns if REPORT.exists() else 0


def _with_report(plan: Plan) -> int:
    """Write the report where there is none, as in a clone whose comparison is committed, and say where it is."""
    if not REPORT.exists():
        return compare_again(plan)
    print(f"open {REPORT}")
    return 0


def _compare_the_others(plan: Plan, failed: dict[str, str]) -> None:
    """Compare what did not fail, and say what did.

    Not as a stage of DVC's, whose record would say that this is the comparison of the whole benchmark.
    """
    if len(failed.keys() - {BASELINE}) == len(plan.cells):
        tell("expected a cell that works, found that all failed; each says why above")
        return
    run_stages("measure", alone=True)
    write_json(paths.FAILED, failed)
    compare_again(plan)


def compare_again(plan: Plan) -> int:
    """Compare what the last run left, and return the exit code."""
    if not paths.FAILED.is_file():
        return REFUSED if run_stages("compare", alone=True, force=True) else 0
    dataset = f"dataset={plan.one.benchmark.dataset}"
    command = [sys.executable, "pipelines/compare.py", dataset, f"failed={paths.FAILED}"]
    return subprocess.run(command, check=False).returncode


def run(jobs: int | None, *, only_report: bool) -> int:
    """Run what is asked of the benchmark of this folder, and return the exit code.

    Raises:
        BackbenchError: the benchmark cannot be run as it is configured.
    """
    require_own_code(Path())
    plan = read_plan()
    for line in record_versions():
        print(f"{line} is new here: what depends on it runs again", flush=True)
    if only_report:
        return compare_again(plan)
    if is_up_to_date():
        print("nothing changed since the last run, so nothing ran")
        return _with_report(plan)
    machine = plan_for_this_machine(jobs)
    print(*machine.lines, sep="\n", flush=True)
    return run_benchmark(plan, machine)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m backbench.cli.run_benchmark")
    parser.add_argument("--jobs", type=int, help="how many cells at once")
    parser.add_argument("--report", action="store_true", help="only compare again, and write the report")
    given = parser.parse_args(arguments)
    if given.jobs is not None and given.jobs < 1:
        tell(f"expected JOBS of at least 1, found {given.jobs}; correct it, or leave it out")
        return REFUSED
    try:
        return run(given.jobs, only_report=given.report)
    except BackbenchError as error:
        tell(*error.lines)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted; start again to go on", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
