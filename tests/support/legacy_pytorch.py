"""What `torch.save` wrote before PyTorch 1.6, without PyTorch."""

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from backbench.backbones.pytorch_file import MAGIC, STORAGES, VERSION

TYPES = {dtype: name for name, dtype in STORAGES.items()}


class _Tensor:
    """Pickled as PyTorch pickles a tensor, which needs modules of its names to be there."""

    def __init__(self, key: str, values: np.ndarray, rebuild: Any, storage: type) -> None:
        self.key, self.values, self.rebuild, self.storage = key, values, rebuild, storage

    def __reduce__(self) -> tuple[Any, ...]:
        strides = tuple(step // self.values.itemsize for step in self.values.strides)
        return self.rebuild, (self, 0, self.values.shape, strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=2)
        self.begun: set[str] = set()

    def persistent_id(self, found: Any) -> Any:
        """A tensor is itself the first time, and its storage within what rebuilds it."""
        if not isinstance(found, _Tensor):
            return None
        if found.key not in self.begun:
            self.begun.add(found.key)
            return None
        return ("storage", found.storage, found.key, "cpu", found.values.size, None)


def legacy_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Spell a state dictionary of float32 and int64 arrays; their axes may be turned, as PyTorch's may."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for name in STORAGES:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    rebuild = utils._rebuild_tensor_v2 = lambda *_: None  # type: ignore[attr-defined]
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    file = io.BytesIO()
    facts = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for part in (MAGIC, VERSION, facts):
        pickle.dump(part, file, protocol=2)
    tensors = {
        name: _Tensor(str(number), values, rebuild, getattr(torch, TYPES[values.dtype.str]))
        for number, (name, values) in enumerate(arrays.items())
    }
    with patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        _Pickler(file).dump(OrderedDict(tensors))
    pickle.dump([tensor.key for tensor in tensors.values()], file, protocol=2)
    for tensor in tensors.values():
        file.write(tensor.values.size.to_bytes(8, "little"))
        file.write(tensor.values.ravel(order="K").tobytes())
    return file.getvalue()
