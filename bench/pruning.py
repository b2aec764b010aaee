"""What pruning saves and what it costs: every fine-tuning cell of conf/benchmark.yaml swept with and without a pruner.

`python -m bench.pruning`, after `make repro` (2 minutes on 2 cores): the same trials on the same stored activations,
in this process, so that only the epochs differ. Expect: the same choice, or one within a point of validation accuracy.
"""

import os
import time
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from backbench.adaptation.training_inputs import TrainingInputs
from backbench.cli.entry import quiet_libraries, refusing
from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import OUTPUT
from backbench.results.records import PRUNED, TrialRecord
from backbench.search.search import Pruning, Space, best_of, proposals, rounds
from backbench.stages.sweep.cell_trials import CellTrials
from backbench.stages.sweep.study import study_of
from bench.input_pipeline import cell_configs


def swept(space: Space, trials_of: CellTrials, search: SearchConfig) -> tuple[list[TrialRecord], float]:
    """Run one study from the beginning; returns its trials and its seconds."""
    started = time.perf_counter()
    trials: list[TrialRecord] = []
    for positions in rounds(search, prunes=search.pruner is not None):
        pruning, earlier = Pruning(search.pruner, space, trials), tuple(trials)
        for proposal in proposals(search, space, positions, earlier):
            trials += trials_of.fit([proposal], pruning)
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
        inputs = TrainingInputs.of(config)
        if inputs.boundaries == (OUTPUT,):
            continue
        space, trials_of = study_of(inputs).space, CellTrials(inputs)
        plain = replace(config.search, pruner=None)
        swept(space, trials_of, replace(plain, num_trials=1))  # builds, traces, reads
        for name, way in (("none", plain), ("of conf/search", config.search)):
            table.add_row(config.backbone.name, name, *described(*swept(space, trials_of, way)))
    Console().print(table)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with refusing():
        main()
