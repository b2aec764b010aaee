"""What a worker does: run trials of a cell's study that the sweep stage coordinates."""

import os
import signal
import time

from backbench.adaptation.interruption import Interrupted, StopSignals
from backbench.config.config import CellConfig
from backbench.config.running_config import WorkersConfig
from backbench.results.cell_inputs import CellInputs
from backbench.stages.sweep.cell_study import CellStudy

LONGEST_GRACE_SECONDS = 3600.0


def work(config: CellConfig, workers: WorkersConfig, *, number: int) -> str:
    """Run trials until none is left, and return a line that says how many batches of them.

    Raises:
        BackbenchError: the study cannot be reached, or a trial cannot be run.
    """
    inputs = CellInputs.of(config)
    cell = CellStudy(inputs, workers)
    with StopSignals() as signals:
        worker = cell.worker(cell.open(creating=False), signals.came)
        try:
            num_run = worker.run_all(lost_after_seconds=workers.lost_after_seconds, is_asked_to_leave=signals.came)
        except Interrupted:
            num_run = None
    if num_run is None:
        leave(signals)
        return f"worker {number} of {inputs.cell}: was asked to leave; others go on"
    return f"worker {number} of {inputs.cell}: ran {num_run} batches; the sweep stage writes what they found"


def leave(signals: StopSignals) -> None:
    """Let the signal do what it does where nobody minds it: submitit sends its job back to the queue, others end."""
    assert signals.received is not None
    signal.raise_signal(signals.received)
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        # If it ended now, the job would be done. Who sent the signal ends it; what was preempted, SLURM starts again.
        time.sleep(LONGEST_GRACE_SECONDS)
