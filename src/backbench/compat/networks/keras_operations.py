"""The calls of Keras's operations while a model is traced on one image; nothing is computed.

Whatever layer asks, its call is seen: layers that hide others, or that multiply without a kernel of their own. Keras
counts no operations itself, and has no public name for a symbolic trace that runs through nested graphs, nor for the
module that its own layers take their operations from.

Checked with Keras 3.15.1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras.src import backend as source_backend
from keras.src import ops as source_ops

from backbench.compat.networks.attributes import replaced


@dataclass(frozen=True)
class OperationCall:
    """A call of an operation of `keras.ops` on symbolic tensors."""

    name: str
    output: Any
    arguments: Sequence[Any]
    options: Mapping[str, Any]


def traced_calls(model: keras.Model, *names: str) -> list[OperationCall]:
    """Trace a model on one image and return the calls of the named operations.

    Args:
        model: One input of `(batch, …)`, its other sides known.
        names: Of functions of `keras.ops`.
    """
    calls: list[OperationCall] = []
    with _noting(names, calls):
        source_backend.compute_output_spec(model, keras.KerasTensor((1, *model.input_shape[1:]), "float32"))
    return calls


@contextmanager
def _noting(names: Sequence[str], calls: list[OperationCall]) -> Iterator[None]:
    with ExitStack() as replacements:
        for module in (keras.ops, source_ops):
            for name in names:
                replacements.enter_context(replaced(module, name, _noted(name, getattr(module, name), calls)))
        yield


def _noted(name: str, operation: Callable[..., Any], calls: list[OperationCall]) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        output = operation(*arguments, **options)
        calls.append(OperationCall(name, output, arguments, options))
        return output

    return noted
