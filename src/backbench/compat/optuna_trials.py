"""The number by which Optuna's storages know a trial.

A storage's methods take it, and a `FrozenTrial` has it under a private name alone; its public `number` counts the
trials of one study.

Checked with Optuna 5.0.0.
"""

from optuna.trial import FrozenTrial


def stored_id(trial: FrozenTrial) -> int:
    """Return what a storage calls a trial."""
    return trial._trial_id
