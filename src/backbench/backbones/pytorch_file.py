"""Read the arrays of a file that PyTorch wrote before version 1.6, without PyTorch and without running what it names.

Such a file is a row of pickles and then the numbers themselves: a magic number, the format's version, facts of the
machine, the state dictionary, whose tensors name their storages by keys, the list of those keys, and every storage in
that order, its length as 8 bytes before it. A pickle may name any function to be called. This reader knows four names,
and refuses the file for any other.

Source:
    `_legacy_save` in https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py.
"""

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from backbench.runtime.errors import WeightsError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
LENGTH_BYTES = 8
# NumPy's names of the types, in place of classes: a pickle can do nothing with a string.
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
# What reading raises where a file is cut off, of another kind, or forged.
BROKEN = (
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    pickle.UnpicklingError,
)


class Storage(NamedTuple):
    """Numbers in a row, which tensors are views of."""

    key: str
    dtype: str
    num_values: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pytorch(path: Path) -> dict[str, np.ndarray]:
    """Read a state dictionary: float32 and int64 arrays by their names.

    Raises:
        WeightsError: the file is missing, cut off, of another format, or names what a state dictionary does not need.
    """
    try:
        with path.open("rb") as file:
            return _arrays(file)
    except BROKEN as error:
        raise WeightsError(
            f"{path}: expected a state dictionary as PyTorch wrote it before version 1.6, found another file or a part "
            f"of one ({(str(error) or type(error).__name__).splitlines()[0]}); fetch it again"
        ) from error


def _arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    found = [_Unpickler(file).load() for _ in ("magic", "version")]
    if found != [MAGIC, VERSION]:
        raise ValueError(f"it begins with {found}, not with {[MAGIC, VERSION]}")
    if _Unpickler(file).load().get("little_endian") is not True:
        raise ValueError("it is not little-endian")
    unpickler = _Unpickler(file)
    tensors: Mapping[str, Tensor] = dict(unpickler.load())
    keys = _Unpickler(file).load()
    values = {key: _values(file, unpickler.storages[key]) for key in keys}
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


def _values(file: BinaryIO, storage: Storage) -> np.ndarray:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    dtype = np.dtype(storage.dtype)
    content = file.read(length * dtype.itemsize) if length == storage.num_values else b""
    if len(content) != storage.num_values * dtype.itemsize:
        raise ValueError(f"storage {storage.key} is not whole")
    return np.frombuffer(content, dtype)


def _array(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    size = values.itemsize
    strides = [step * size for step in tensor.strides]
    # NumPy refuses a view that reaches beyond the values.
    return np.ndarray(tensor.shape, values.dtype, buffer=values, offset=tensor.offset * size, strides=strides)


class _Unpickler(pickle.Unpickler):
    """Builds what a state dictionary consists of, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new one each time: what a forged pickle may do to it ends with the pickle.
            return lambda storage, offset, shape, strides, *_: Tensor(storage, offset, tuple(shape), tuple(strides))
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not run")

    def persistent_load(self, pid: Any) -> Storage:
        _, dtype, key, _, num_values, view = pid
        if view is not None:
            raise pickle.UnpicklingError(f"storage {key} is a part of another")
        self.storages[key] = Storage(key, dtype, num_values)
        return self.storages[key]
