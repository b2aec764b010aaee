"""How a stage's JSON, YAML, tables and arrays are spelled, and read: the bytes of every result."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from yaml import YAMLError

from backbench.runtime.atomic_files import replacing, write_text
from backbench.runtime.errors import ArtifactError


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(dict(content))))


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    write_text(path, csv_text(rows, columns))


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Spell rows with a header; floats are spelled so that reading gives the same float again."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_array(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write several arrays under their names, as NumPy's npz without pickle."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


@contextmanager
def whole_file(path: Path, made_by: str) -> Iterator[None]:
    """Read a file within; one that is cut off, or no such file, is refused in one line."""
    if not path.is_file():
        raise ArtifactError(f"expected {path}, found nothing there; run `dvc repro {made_by}` first")
    try:
        yield
    except (EOFError, ValueError, YAMLError) as error:
        raise ArtifactError(
            f"{path}: expected a whole file of its kind, found it cut off or changed ({type(error).__name__}); "
            f"run `dvc repro --force {made_by}`"
        ) from error


def read_json(path: Path, *, made_by: str) -> dict[str, Any]:
    with whole_file(path, made_by):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("expected an object")
    return content


def read_yaml(path: Path, *, made_by: str) -> dict[str, Any]:
    with whole_file(path, made_by):
        content = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(content, dict) or not content:
            raise ValueError("expected keys and values")
    return {str(key): value for key, value in content.items()}


def read_csv(path: Path, *, made_by: str) -> list[dict[str, str]]:
    with whole_file(path, made_by), path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        # A short line is filled with None, and what a long one has more of stands under None.
        if not reader.fieldnames or any(None in row or None in row.values() for row in rows):
            raise ValueError("expected a header and lines of its length")
    return rows


def read_array(path: Path, *, made_by: str) -> np.ndarray:
    """Open an array memory-mapped and read-only."""
    with whole_file(path, made_by):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        assert isinstance(array, np.ndarray)
    return array
