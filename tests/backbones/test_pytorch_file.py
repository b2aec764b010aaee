"""PyTorch's old files are read without PyTorch, and nothing that they name is run."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backbench.backbones.pytorch_file import MAGIC, VERSION, read_pytorch
from backbench.runtime.errors import WeightsError
from tests.support.legacy_pytorch import legacy_bytes

ARRAYS = {
    "conv.weight": np.arange(24, dtype="float32").reshape(2, 3, 2, 2).transpose(3, 2, 0, 1),
    "bn.bias": np.linspace(-1, 1, 5, dtype="float32"),
    "bn.num_batches_tracked": np.array(7, dtype="int64"),
}


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return path


def test_arrays_are_read_with_their_names_types_and_turned_axes(tmp_path: Path) -> None:
    found = read_pytorch(written(tmp_path, legacy_bytes(ARRAYS)))
    assert list(found) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


class Calls:
    """Pickled, it has whoever unpickles it call a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def forged(*parts: object) -> bytes:
    file = io.BytesIO()
    for part in parts:
        pickle.dump(part, file, protocol=2)
    return file.getvalue()


FACTS = {"little_endian": True}


@pytest.mark.parametrize(
    ("function", "named"), [(os.mkdir, "posix.mkdir"), (eval, "__builtin__.eval"), (getattr, "__builtin__.getattr")]
)
@pytest.mark.parametrize("before", [(), (MAGIC,), (MAGIC, VERSION), (MAGIC, VERSION, FACTS)], ids=len)
def test_whatever_else_a_pickle_names_is_not_run(
    tmp_path: Path, function: Callable[..., object], named: str, before: tuple[object, ...]
) -> None:
    made = tmp_path / "made"
    arguments = {"getattr": (object(), "__class__"), "eval": (f"__import__('os').mkdir({str(made)!r})",)}
    path = written(tmp_path, forged(*before, Calls(function, *arguments.get(function.__name__, (str(made),)))))
    with pytest.raises(WeightsError, match=f"it names {named}, which is not run"):
        read_pytorch(path)
    assert not made.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    whole = legacy_bytes(ARRAYS)
    path = written(tmp_path, whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match=rf"^{path}: expected a state dictionary as PyTorch wrote it .*; fetch"):
        read_pytorch(path)


def zipped() -> bytes:
    """As PyTorch writes since 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("archive/data.pkl", forged({}))
    return file.getvalue()


OTHERS = {
    "nothing of it": b"not weights",
    "a newer version": zipped(),
    "another magic number": forged(1, VERSION),
    "big-endian": forged(MAGIC, VERSION, {"little_endian": False}),
    "no dictionary": forged(MAGIC, VERSION, FACTS, 7, []),
    "a value that is no tensor": forged(MAGIC, VERSION, FACTS, {"a": 7}, []),
    "another length of a storage": legacy_bytes({"a": np.zeros(3, "float32")}).replace(
        (3).to_bytes(8, "little"), (2).to_bytes(8, "little")
    ),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsError, match="found another file or a part of one"):
        read_pytorch(written(tmp_path, content))


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    content = legacy_bytes({"a": np.zeros((3, 1), "float32")})
    # The pickle of its shape, `(3, 1)`.
    assert content.count(b"K\x03K\x01\x86") == 1
    with pytest.raises(WeightsError, match="found another file or a part of one"):
        read_pytorch(written(tmp_path, content.replace(b"K\x03K\x01\x86", b"K\x09K\x01\x86")))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        read_pytorch(tmp_path / "none.pth")
