"""What pruning saves and what it costs: every fine-tuning cell of conf/benchmark.yaml swept with and without a pruner.

`python -m bench.pruning`, after `make repro` (2 minutes on 2 cores): the same trials on the same stored activations,
in this process, so that only the epochs differ. Expect: the same choice, or one within a point of validation accuracy.
"""

import os
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from backbench.config import OUTPUT, SearchConfig
from backbench.entry import quiet_libraries, refusing
from backbench.records import PRUNED, TrialRecord
from backbench.search import best_of, open_study, run_search
from backbench.stages.cell import CellInputs, cell_inputs
from backbench.stages.sweep import CellStudy
from bench.input_pipeline import cell_configs


def swept(inputs: CellInputs, study: CellStudy, search: SearchConfig) -> tuple[list[TrialRecord], float]:
    """Run one study from the beginning; returns its trials and its seconds."""
    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        journal = open_study(Path(folder) / "study.journal", str(inputs.cell))
        trials = run_search(journal, study.space, search, study.run, batch_size=1, on_trial=lambda record: None)
    return trials, time.perf_counter() - started


def described(trials: list[TrialRecord], seconds: float) -> list[str]:
    """Spell the choice and what it took."""
    best = best_of(trials)
    pruned = sum(trial.state == PRUNED for trial in trials)
    epochs = sum(trial.epochs for trial in trials)
    return [f"{best.learning_rate:.2e}", f"{best.val_accuracy:.3f}", f"{seconds:.1f}", f"{epochs} ({pruned} pruned)"]


def main() -> None:
    """Print a line per cell and way."""
    quiet_libraries()
    table = Table("backbone", "pruner", "learning rate", "val accuracy", "seconds", "epochs")
    for config in cell_configs():
        inputs = cell_inputs(config)
        if inputs.boundaries == (OUTPUT,):
            continue
        study = CellStudy(inputs)
        plain = replace(config.search, pruner=None)
        swept(inputs, study, replace(plain, num_trials=1))  # builds, traces, reads
        for name, way in (("none", plain), ("of conf/search", config.search)):
            table.add_row(config.backbone.name, name, *described(*swept(inputs, study, way)))
    Console().print(table)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with refusing():
        main()
