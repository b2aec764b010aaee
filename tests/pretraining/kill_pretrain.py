"""Pretrain one small backbone whole, again, and killed between checkpoints; all three must end in the same bytes.

usage: python -m tests.pretraining.kill_pretrain [--backbone mobilenet_v2_slim] [--kills 2] [--seed 0] [--report FILE]

About six minutes on an idle machine. Exit code 0: the same bytes.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from backbench.runtime.digests import file_sha256
from tests.faults.table import write_report

PROJECT = Path(__file__).parents[2]
STEPS, CHECKPOINT_EVERY = 200, 25


def command(backbone: str, folder: Path, cache: Path) -> list[str]:
    """Return the command of one run, with its state, weights and MLflow store in a folder of its own."""
    return [
        *(sys.executable, "-m", "pretraining", f"backbone={backbone}"),
        *(f"pretrain.steps={STEPS}", f"pretrain.checkpoint_every_steps={CHECKPOINT_EVERY}"),
        *("pretrain.num_images=4000", "pretrain.num_val_images=200"),
        *(f"folders.cache={cache}", f"folders.state={folder}/state", f"folders.weights={folder}/weights"),
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
    ]


def finish(backbone: str, folder: Path, cache: Path) -> str:
    subprocess.run(command(backbone, folder, cache), cwd=PROJECT, check=True)
    return file_sha256(folder / "weights" / f"{backbone}.weights.h5")


def last_checkpoint(folder: Path) -> int:
    """When the last checkpoint was written, in nanoseconds; 0 before the first."""
    return max((file.stat().st_mtime_ns for file in folder.glob("state/*/*/state.npz")), default=0)


def kill(backbone: str, folder: Path, cache: Path, *, num_checkpoints: int, seconds: float) -> None:
    """Start a run, wait for so many new checkpoints and then so many seconds, and SIGKILL it."""
    process = subprocess.Popen(command(backbone, folder, cache), cwd=PROJECT)
    for _ in range(num_checkpoints):
        before = last_checkpoint(folder)
        while last_checkpoint(folder) == before and process.poll() is None:
            time.sleep(0.05)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    print(f"killed after {num_checkpoints} new checkpoints and {seconds:.1f} s: exit {process.wait()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mobilenet_v2_slim")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="for the table of docs/reliability.md")
    options = parser.parse_args()
    draws = random.Random(options.seed)
    with TemporaryDirectory() as temporary:
        folder, cache = Path(temporary), Path("work/formula").resolve()
        digests = {name: finish(options.backbone, folder / name, cache) for name in ("first", "second")}
        for _ in range(options.kills):
            kill(
                options.backbone,
                folder / "killed",
                cache,
                num_checkpoints=draws.randint(1, 3),
                seconds=draws.uniform(0.0, 3.0),
            )
        digests["killed"] = finish(options.backbone, folder / "killed", cache)
    for name, digest in digests.items():
        print(f"{name:8} {digest}")
    if options.report:
        how = f"SIGKILL between checkpoints of {options.backbone}; the weights, compared with two runs left alone"
        lost = [name for name, digest in digests.items() if digest != digests["first"]]
        write_report(
            options.report, "kill_pretrain", fault="pretraining killed", how=how, times=options.kills, lost=lost
        )
    print("the same bytes" if len(set(digests.values())) == 1 else "DIFFERENT BYTES")
    sys.exit(len(set(digests.values())) != 1)


if __name__ == "__main__":
    main()
