"""What the typed configuration accepts runs: a tiny cell at the edges of every range, from images to the report."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from backbench.config.config import CellConfig, to_typed
from backbench.config.value_types import LARGEST, LARGEST_SEED, SMALLEST
from backbench.runtime.paths import Cell
from backbench.stages.baseline import baseline
from backbench.stages.compare import compare
from backbench.stages.dashboard import dashboard
from tests.support.tiny_cell import cell_config_for, run_cell

SHORT = {"strategy": {"epochs": 1, "views": 1}, "search": {"num_trials": 2}}
LONG_TRIALS = {"num_trials": 3, "startup_trials": 1, "trials_per_round": 1}
WIDE = {"low": SMALLEST, "high": LARGEST}
FIXED = {"learning_rate": {"low": 0.003, "high": 0.003}, "weight_decay": {"low": 0, "high": 0}}
HEADS: dict[str, dict[str, dict[str, Any]]] = {
    "one_learning_rate_by_tpe": {"strategy": FIXED, "search": {"sampler": "tpe", **LONG_TRIALS}},
    "the_widest_ranges_by_tpe": {
        "strategy": {"learning_rate": WIDE, "weight_decay": WIDE},
        "search": {"sampler": "tpe", **LONG_TRIALS},
    },
    "the_smallest_counts": {
        "strategy": {"epochs": 1, "batch_size": 1, "early_stopping_patience": 1, "warmup_fraction": 0},
        "search": {"num_trials": 1, "startup_trials": 1, "trials_per_batch": 1, "trials_per_round": 1},
    },
    "more_than_there_is": {
        "strategy": {"batch_size": 500, "early_stopping_patience": 500, "warmup_fraction": 1},
        "search": {"startup_trials": 500, "trials_per_batch": 500, "trials_per_round": 500},
    },
    "one_hidden_unit_nearly_always_dropped_at_the_smallest_rate": {
        "strategy": {
            "head": {"hidden_units": 1, "dropout": 0.999},
            "learning_rate": {"low": SMALLEST, "high": SMALLEST},
        }
    },
    "the_largest_seeds": {
        "benchmark": {"seeds": [LARGEST_SEED, 0]},
        "search": {"seed": LARGEST_SEED},
        "weights": {"seed": LARGEST_SEED},
    },
    "the_wildest_views": {
        "strategy": {"views": 2},
        "dataset": {
            "split_seed": LARGEST_SEED,
            "augmentation": {
                "shift": 1,
                "rotate_degrees": 180,
                "scale": 0.9,
                "horizontal_flip": True,
                "brightness": 1,
                "contrast": 1,
            },
        },
    },
}
NO_START = {"linear_probe_warmup": None}
SUFFIXES: dict[str, dict[str, dict[str, Any]]] = {
    "one_image_at_once_at_one_rate_with_the_largest_seeds": {
        "strategy": {"batch_size": 3, "accumulation_steps": 3, **FIXED, **NO_START},
        "benchmark": {"seeds": [LARGEST_SEED]},
        "search": {"sampler": "tpe", "seed": LARGEST_SEED, **LONG_TRIALS},
    },
    "all_of_the_backbone_or_nothing_on_the_fly": {
        "strategy": {"boundary": None, "unfreeze": [0, 1], "activation_limit_gigabytes": 0, **NO_START}
    },
    "a_linear_probe_warmup_of_one_epoch_without_decay": {
        "strategy": {
            "train_batch_norm": True,
            "linear_probe_warmup": {"epochs": 1, "learning_rates": [SMALLEST, 0.01], "weight_decay": 0},
        }
    },
}
EDGES = {
    **{f"feature_extraction-{name}": changes for name, changes in HEADS.items()},
    **{f"fine_tuning-{name}": changes for name, changes in SUFFIXES.items()},
}


def at_edge(strategy: str, changes: dict[str, dict[str, Any]]) -> CellConfig:
    """Change a tiny cell's configuration, typed as a stage types it."""
    config = cell_config_for(strategy, seeds=[0])
    groups = {}
    for group in sorted({*changes, *SHORT}):
        typed = getattr(config, group)
        plain = asdict(typed) | SHORT.get(group, {}) | changes.get(group, {})
        groups[group] = to_typed(plain, type(typed), where=f"conf/{group}")
    return replace(config, **groups)


@pytest.mark.parametrize("edge", EDGES)
def test_a_cell_at_the_edge_of_its_ranges_runs(edge: str, workplace: Path) -> None:
    strategy = edge.split("-")[0]
    config = at_edge(strategy, EDGES[edge])
    record = run_cell(config)
    assert len(record.trials) == config.search.num_trials
    assert len(record.seeds) == len(config.benchmark.seeds)


def test_a_fixed_learning_rate_comes_through_to_report_and_dashboard(workplace: Path) -> None:
    config = at_edge("feature_extraction", {"strategy": FIXED})
    record = run_cell(config)
    baseline()
    assert compare(config.benchmark, config.tracking).startswith("open report/index.html")
    dashboard([Cell("tiny", "feature_extraction")])
    assert {(trial.learning_rate, trial.weight_decay) for trial in record.trials} == {(0.003, 0.0)}
    assert record.best.learning_rate_at_edge == "none"
    assert "edge" not in (Path("results/leaderboard.csv").read_text().splitlines()[1])
