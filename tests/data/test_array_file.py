"""Rows of `.npy` files: what NumPy would read, without a map of the file."""

from io import BufferedReader, FileIO
from pathlib import Path

import numpy as np
import pytest

from backbench.data.arrays import array_file
from backbench.data.arrays.array_file import ArrayFile, GrowingArrayFile
from backbench.runtime.errors import ArtifactError


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 7, 3, 4)).astype("float16")


def saved(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path


@pytest.mark.parametrize("num_row_axes", [1, 2, 3])
def test_rows_are_read_in_any_order_and_number(tmp_path: Path, values: np.ndarray, num_row_axes: int) -> None:
    file = ArrayFile(saved(tmp_path / "a.npy", values), made_by="embed", num_row_axes=num_row_axes)
    rows = values.reshape(-1, *values.shape[num_row_axes:])
    assert (len(file), file.shape, file.dtype) == (len(rows), values.shape, values.dtype)
    for indices in (np.arange(len(rows)), np.array([len(rows) - 1, 0, 0]), np.array([], dtype=int)):
        np.testing.assert_array_equal(file[indices], rows[indices])


def test_a_row_may_be_a_number(tmp_path: Path) -> None:
    file = ArrayFile(saved(tmp_path / "a.npy", np.arange(5, dtype="int32")), made_by="embed")
    assert file[np.array([4, 2])].tolist() == [4, 2]


def test_a_row_that_is_not_there_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    file = ArrayFile(saved(tmp_path / "a.npy", values), made_by="embed")
    with pytest.raises(IndexError):
        file[np.array([2])]


def test_a_missing_file_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"a\.npy, found nothing there; run `dvc repro embed` first"):
        ArrayFile(tmp_path / "a.npy", made_by="embed")


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = saved(tmp_path / "a.npy", values)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"expected 464 bytes in C order, found 463; run `dvc repro --force embed`"):
        ArrayFile(path, made_by="embed")


def test_a_growing_file_ends_as_numpy_would_write_it(tmp_path: Path, values: np.ndarray) -> None:
    file = GrowingArrayFile(tmp_path / "new/a.npy", values.shape, "float16", num_row_axes=2)
    assert file.keep(0)
    rows = values.reshape(14, 3, 4)
    file.append(rows[:5])
    file.append(rows[5:])
    np.save(tmp_path / "b.npy", values)
    assert (tmp_path / "new/a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_what_was_written_after_the_kept_rows_is_cut_off(tmp_path: Path, values: np.ndarray) -> None:
    rows = values.reshape(14, 3, 4)
    file = GrowingArrayFile(tmp_path / "a.npy", values.shape, "float16", num_row_axes=2)
    assert not file.keep(1)
    file.keep(0)
    file.append(rows[:6])
    with (tmp_path / "a.npy").open("ab") as stream:
        stream.write(b"half a row")
    assert not file.keep(7)
    assert file.keep(4)
    file.append(rows[4:])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)


@pytest.mark.parametrize("num_kept", [0, 3, 40])
def test_a_file_without_a_whole_header_is_refused(tmp_path: Path, values: np.ndarray, num_kept: int) -> None:
    path = saved(tmp_path / "a.npy", values)
    path.write_bytes(path.read_bytes()[:num_kept])
    with pytest.raises(ArtifactError, match=r"none that is whole; run `dvc repro --force embed`"):
        ArrayFile(path, made_by="embed")


@pytest.mark.parametrize("in_memory_bytes", [0, 1 << 20])
def test_a_file_that_is_cut_off_after_it_was_opened_is_noticed(
    tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch, in_memory_bytes: int
) -> None:
    monkeypatch.setattr(array_file, "IN_MEMORY_BYTES", in_memory_bytes)
    path = saved(tmp_path / "a.npy", values)
    file = ArrayFile(path, made_by="embed")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"cut off after it was opened; run `dvc repro --force embed`"):
        file[np.array([0, 1])]


def test_a_row_that_comes_in_several_reads_is_whole(
    tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hesitant(FileIO):
        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            return super().readinto(buffer[:7]) or 0

    path = saved(tmp_path / "a.npy", values)
    monkeypatch.setattr(array_file, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(Path, "open", lambda path, mode: BufferedReader(Hesitant(path)))
    file = ArrayFile(path, made_by="embed")
    np.testing.assert_array_equal(file[np.array([1, 0])], values[[1, 0]])


@pytest.mark.parametrize("num_kept", [0, 40])
def test_a_growing_file_without_a_whole_header_has_nothing_to_keep(
    tmp_path: Path, values: np.ndarray, num_kept: int
) -> None:
    path = saved(tmp_path / "a.npy", values)
    path.write_bytes(path.read_bytes()[:num_kept])
    assert not GrowingArrayFile(path, values.shape, "float16", num_row_axes=2).keep(1)
