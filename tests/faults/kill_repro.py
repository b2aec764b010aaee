"""Kill `make repro` at random moments, start it again, and compare what it ends in with what is committed.

usage: python -m tests.faults.kill_repro [--kills 10] [--seed 0] [--longest-seconds 60] [--report FILE]

Works in a fresh clone, with this checkout's .venv. Each kill is a SIGKILL, in turn to the whole process
group and to all of it but the stages (which run on as orphans); the last one is to make alone (the run goes on
and holds the lock, so the next `make repro` is refused, and started again until it is not). Exit code 0: git sees no
change.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.table import write_report

PROJECT = Path(__file__).parents[2]
TARGETS = ("process group", "all but the stages")
SECONDS_BETWEEN_STARTS = 5.0


def clone(folder: Path) -> Path:
    """Clone the committed state and lend it this checkout's environment."""
    project = folder / "project"
    subprocess.run(["git", "clone", "-q", str(PROJECT), str(project)], check=True)
    (project / ".venv").symlink_to(PROJECT / ".venv")
    return project


def start(project: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    return subprocess.Popen(
        ["make", "-o", ".venv/ready", "repro"],
        cwd=project,
        env=environment,
        stdout=log.open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def members(group: int) -> dict[int, str]:
    """The processes of a group by id, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (ProcessLookupError, FileNotFoundError):
                continue  # it ended while we looked
    return found


def kill(run: subprocess.Popen[bytes], target: str) -> str:
    """Send SIGKILL and say what was running."""
    processes = members(run.pid)
    stage = next((line for line in processes.values() if "pipelines/" in line and "sh -c" not in line), "no stage")
    if target == "process group":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        others = [pid for pid, line in processes.items() if "pipelines/" not in line]
        for pid in others if target == "all but the stages" else [run.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    run.wait()
    return stage.strip()[-110:]


def finish(project: Path, log: Path) -> int:
    """Start until no orphan holds the lock, and wait for the end; returns the exit code."""
    while True:
        before = log.stat().st_size
        code = start(project, log).wait()
        said = log.read_bytes()[before:].decode(errors="replace")
        refused = next((line for line in said.splitlines() if "expected no other run in this checkout" in line), None)
        if refused is None:
            return code
        print(refused, flush=True)
        time.sleep(SECONDS_BETWEEN_STARTS)


def main() -> int:
    """Kill, start again, compare; prints a line per kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest-seconds", type=float, default=60.0)
    parser.add_argument("--report", type=Path, help="for the table of docs/reliability.md")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    num_kills = 0
    with tempfile.TemporaryDirectory() as folder:
        project, log = clone(Path(folder)), Path(folder) / "repro.log"
        for number in range(options.kills):
            run = start(project, log)
            seconds = moments.uniform(1.0, options.longest_seconds)
            try:
                run.wait(timeout=seconds)
                print(f"kill {number + 1}: make repro had ended before {seconds:.0f} s", flush=True)
            except subprocess.TimeoutExpired:
                num_kills += 1
                target = "make" if number == options.kills - 1 else TARGETS[number % len(TARGETS)]
                print(f"kill {number + 1}: {target} after {seconds:.0f} s in: {kill(run, target)}", flush=True)
        started = time.monotonic()
        code = finish(project, log)
        print(f"left alone: exit {code} after {time.monotonic() - started:.0f} s", flush=True)
        if code:
            print(log.read_text(encoding="utf-8", errors="replace")[-3000:])
            return code
        changed = subprocess.run(
            ["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True
        ).stdout
        print(changed or "git sees no change: the committed results, after every kill")
        if options.report:
            how = "SIGKILL at a random moment, to all of it, to all but the stages, to `make` alone; then left alone"
            lost = [line[3:] for line in changed.splitlines()]
            write_report(options.report, "kill_repro", fault="`make repro` killed", how=how, times=num_kills, lost=lost)
        return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
