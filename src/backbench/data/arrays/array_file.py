"""Arrays in `.npy` files, read and appended to row by row, so that memory stays flat whatever their size."""

import math
import shutil
from pathlib import Path

import numpy as np

from backbench.runtime.atomic_files import sync
from backbench.runtime.errors import ArtifactError

# A file up to this size is read whole at first use: looking up a small row costs more than copying it.
IN_MEMORY_BYTES = 32 << 20


class ArrayFile:
    """The rows of a `.npy` file, read by their offset.

    In a memory map every page that was looked at would count as this process's memory. A small file is kept whole.
    """

    def __init__(self, path: Path, *, made_by: str, num_row_axes: int = 1) -> None:
        """Read the header of a C-contiguous array; `num_row_axes` leading axes count rows, the last of them fastest.

        Raises:
            ArtifactError: the file is missing, cut off, or no such array.
        """
        if not path.is_file():
            raise ArtifactError(f"expected {path}, found nothing there; run `dvc repro {made_by}` first")
        self._path = path
        self._made_by = made_by
        with path.open("rb") as file:
            try:
                np.lib.format.read_magic(file)
                self.shape, is_fortran, self.dtype = np.lib.format.read_array_header_1_0(file)
            except ValueError as error:
                raise ArtifactError(
                    f"{path}: expected an array of NumPy, found none that is whole; run `dvc repro --force {made_by}`"
                ) from error
            self._offset = file.tell()
        self._num_rows = math.prod(self.shape[:num_row_axes])
        self._row_shape = self.shape[num_row_axes:]
        self._row_bytes = math.prod(self._row_shape) * self.dtype.itemsize
        whole, found = self._offset + self._num_rows * self._row_bytes, path.stat().st_size
        if is_fortran or found != whole:
            raise ArtifactError(
                f"{path}: expected {whole} bytes in C order, found {found}; run `dvc repro --force {made_by}`"
            )

        self._whole: np.ndarray | None = None

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        """Return the rows `(b, *shape)` at int indices `(b,)`."""
        if self._num_rows * self._row_bytes <= IN_MEMORY_BYTES:
            if self._whole is None:
                self._whole = self._read(np.arange(self._num_rows))
            return self._whole[indices]
        return self._read(indices)

    def _read(self, indices: np.ndarray) -> np.ndarray:
        rows = np.empty((len(indices), *self._row_shape), self.dtype)
        flat = rows.view(np.uint8).reshape(len(indices), self._row_bytes)
        with self._path.open("rb") as file:
            for row, index in zip(flat, indices, strict=True):
                file.seek(self._offset + range(self._num_rows)[index] * self._row_bytes)
                if file.readinto(row.data) < self._row_bytes:
                    raise ArtifactError(
                        f"{self._path}: expected {self._num_rows} rows, found that it was cut off after it was opened; "
                        f"run `dvc repro --force {self._made_by}`"
                    )
        return rows


class GrowingArrayFile:
    """A `.npy` file of known shape that whole rows are appended to, through the file and not through a map of it."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, *, num_row_axes: int = 1) -> None:
        self._path = path
        self._header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        self._dtype = np.dtype(dtype)
        self._row_bytes = math.prod(shape[num_row_axes:]) * self._dtype.itemsize

    def keep(self, num_rows: int) -> bool:
        """Cut the file after its first rows; without any it begins anew. Returns whether there are so many."""
        if num_rows == 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, self._header)
            return True
        if not self._path.is_file():
            return False
        with self._path.open("r+b") as file:
            try:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)
            except ValueError:
                return False
            whole = file.tell() + num_rows * self._row_bytes
            if self._path.stat().st_size < whole:
                return False
            file.truncate(whole)
        return True

    def append(self, rows: np.ndarray) -> None:
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, self._dtype).data)

    def append_file(self, path: Path) -> None:
        """Append all rows of another `.npy` file, which are as long and of the same type."""
        with path.open("rb") as rows, self._path.open("ab") as file:
            np.lib.format.read_magic(rows)
            np.lib.format.read_array_header_1_0(rows)
            shutil.copyfileobj(rows, file)

    def sync(self) -> None:
        """Have the disk hold what was appended."""
        sync(self._path)
