"""What a worker does: run trials of a cell's study that the sweep stage coordinates."""

from backbench.config import CellConfig, WorkersConfig
from backbench.stages.cell import cell_inputs
from backbench.stages.cell_study import CellStudy


def work(config: CellConfig, workers: WorkersConfig, *, number: int) -> str:
    """Run trials until none is left, and return a line that says how many batches of them.

    Raises:
        BackbenchError: the study cannot be reached, or a trial cannot be run.
    """
    inputs = cell_inputs(config)
    cell = CellStudy(inputs, workers)
    worker = cell.worker(cell.open(creating=False))
    num_run = worker.run_all(lost_after_seconds=workers.lost_after_seconds)
    return f"worker {number} of {inputs.cell}: ran {num_run} batches; the sweep stage writes what they found"
