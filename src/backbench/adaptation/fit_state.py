"""All that a fit needs to go on in another process, as named arrays: no pickle."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

import keras
import numpy as np

from backbench.adaptation.checkpoints import HISTORY
from backbench.adaptation.schedule import Course, Hyperparameters, Schedule, Weights
from backbench.features.activations import ActivationSource
from backbench.results.records import EpochRecord, fingerprint
from backbench.results.result_files import EPOCH_COLUMNS


def values_of(variables: list[keras.Variable]) -> Weights:
    """Copy the values of variables."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign_all(variables: list[keras.Variable], values: Weights) -> None:
    """Give every variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def model_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Name everything that a training step changes: weights, random states, the optimizer's state."""
    return _numbered("variable", values_of(_state_variables(model)))


def restore_model(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a compiled model what `model_arrays` took from one of the same form."""
    assign_all(_state_variables(model), _listed("variable", arrays))


def course_arrays(course: Course) -> dict[str, np.ndarray]:
    """Name the epochs of a course, `(num_epochs, 5)` float64, and the weights of its best one."""
    history = np.array([[getattr(epoch, name) for name in EPOCH_COLUMNS] for epoch in course.history])
    return {HISTORY: history, **_numbered("best", course.best_weights)}


def restore_course(course: Course, arrays: Mapping[str, np.ndarray]) -> None:
    """Put a new course where the one stood that `course_arrays` was told of."""
    history = [EpochRecord(int(epoch), *rest) for epoch, *rest in arrays[HISTORY].tolist()]
    course.go_on(history, _listed("best", arrays))


def fit_name(
    candidate: Hyperparameters,
    schedule: Schedule,
    initial: Weights,
    train: ActivationSource,
    val: ActivationSource,
    *,
    xla: bool,
) -> str:
    """Name a fit by what decides its outcome: 16 hexadecimal digits.

    Of the data, sizes alone: who keeps the files keeps those of other data apart, by the folder.
    """
    digest = hashlib.sha256()
    for value in initial:
        digest.update(np.ascontiguousarray(value).tobytes())
    sizes = (len(train.labels), train.num_views, len(val.labels))
    backend = (keras.backend.backend(), keras.__version__, xla)
    return fingerprint(asdict(candidate), asdict(schedule), digest.hexdigest(), sizes, backend)


def _state_variables(model: keras.Model) -> list[keras.Variable]:
    metrics = {id(variable) for variable in model.metrics_variables}
    optimizer = {id(variable) for variable in model.optimizer.variables}
    own = [v for v in model.variables if id(v) not in metrics and id(v) not in optimizer]
    return [*own, *model.optimizer.variables]


def _numbered(name: str, values: Weights) -> dict[str, np.ndarray]:
    return {f"{name} {index}": value for index, value in enumerate(values)}


def _listed(name: str, arrays: Mapping[str, np.ndarray]) -> Weights:
    return [arrays[f"{name} {index}"] for index in range(sum(key.startswith(f"{name} ") for key in arrays))]
