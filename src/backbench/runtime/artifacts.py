"""Where every stage's files live, atomic writes, and fingerprints.

No other module spells a path of `work/`, `models/`, `results/` or `report/`.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from omegaconf import OmegaConf
from yaml import YAMLError

from backbench.runtime.durable import put_in_place
from backbench.runtime.errors import ArtifactError
from backbench.runtime.file_systems import has_locks

DATASET = Path("work/dataset")
IMAGE_SIZE = Path("work/image_size.json")
BASELINE = Path("results/pixels")
BASELINE_PREDICTIONS = Path("work/predictions/pixels.parquet")
LEADERBOARD = Path("results/leaderboard.csv")
COMPARISONS = Path("results/comparisons.csv")
INTERVALS = Path("results/intervals.csv")
SUMMARY = Path("results/summary.json")
ALL_TRIALS = Path("results/trials.csv")
ALL_EPOCHS = Path("results/training.csv")
CONFUSION = Path("results/confusion.csv")
SCORES = Path("results/scores")
PLOTS_TEMPLATE = Path("work/plots/template.html")
REPORT = Path("report")
STATE = Path("work/state")
LOCKS = Path("work/locks")
WORKERS = Path("work/workers")
TIMINGS = Path("work/timings")
COMPUTE = Path("work/compute")
LOGS = Path("work/logs")
COSTS = Path("work/costs")
MEASURED = Path("work/measured.json")
DASHBOARD = Path("work/dashboard.db")
FAILED = Path("work/failed.json")
READ_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Cell:
    """One backbone × strategy, and where its files live."""

    backbone: str
    strategy: str

    def __str__(self) -> str:
        return f"{self.backbone}-{self.strategy}"

    @property
    def activations(self) -> Path:
        return Path("work/activations") / self.backbone / self.strategy

    @property
    def results(self) -> Path:
        return Path("results/cells") / self.backbone / self.strategy

    @property
    def trials(self) -> Path:
        return self.results / "trials.csv"

    @property
    def trial_history(self) -> Path:
        return self.results / "trial_history.csv"

    @property
    def best(self) -> Path:
        return self.results / "best.yaml"

    @property
    def metrics(self) -> Path:
        return self.results / "metrics.json"

    @property
    def history(self) -> Path:
        return self.results / "history.csv"

    @property
    def models(self) -> Path:
        return Path("models") / self.backbone / self.strategy

    @property
    def predictions(self) -> Path:
        return Path("work/predictions") / self.backbone / f"{self.strategy}.parquet"


def timing(stage: str) -> Path:
    """Where the last process of a stage, such as `sweep-resnet50-fine_tuning`, writes what it took."""
    return TIMINGS / f"{stage}.json"


def compute(stage: str, cell: Cell) -> Path:
    """Where a stage writes what all processes that computed a cell's result took."""
    return COMPUTE / f"{stage}-{cell}.json"


def log(stage: str) -> Path:
    """Where a stage, such as `sweep-resnet50-fine_tuning`, keeps what libraries said."""
    return LOGS / f"{stage}.log"


def workers_folder(cell: Cell) -> Path:
    """Where the workers of a cell's sweep write their logs."""
    return WORKERS / str(cell)


def worker_log(cell: Cell, number: int) -> Path:
    """Where a worker of a cell's sweep keeps what libraries said."""
    return workers_folder(cell) / f"worker-{number}.log"


def cost(backbone: str) -> Path:
    """Where the measure stage writes what a backbone takes on this machine."""
    return COSTS / f"{backbone}.json"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # Keras and others look at the suffixes.
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(dict(content))))


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows with a header; floats are spelled so that reading gives the same float again."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def write_array(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write several arrays under their names, as NumPy's npz without pickle."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


def _existing(path: Path, made_by: str) -> Path:
    if not path.is_file():
        raise ArtifactError(f"expected {path}, found nothing there; run `dvc repro {made_by}` first")
    return path


@contextmanager
def whole_file(path: Path, made_by: str) -> Iterator[Path]:
    """Yield the path of a file that is read; one that is cut off, or no such file, is refused in one line."""
    existing = _existing(path, made_by)
    try:
        yield existing
    except (EOFError, ValueError, YAMLError) as error:
        raise ArtifactError(
            f"{path}: expected a whole file of its kind, found it cut off or changed ({type(error).__name__}); "
            f"run `dvc repro --force {made_by}`"
        ) from error


def read_json(path: Path, *, made_by: str) -> dict[str, Any]:
    with whole_file(path, made_by) as existing:
        content = json.loads(existing.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("expected an object")
    return content


def known_json(path: Path) -> dict[str, Any]:
    """Read what may or may not be known: nothing where there is no file, or none that is whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_yaml(path: Path, *, made_by: str) -> dict[str, Any]:
    with whole_file(path, made_by) as existing:
        content = OmegaConf.to_container(OmegaConf.load(existing))
        if not isinstance(content, dict) or not content:
            raise ValueError("expected keys and values")
    return {str(key): value for key, value in content.items()}


def read_csv(path: Path, *, made_by: str) -> list[dict[str, str]]:
    with whole_file(path, made_by) as existing, existing.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        # A short line is filled with None, and what a long one has more of stands under None.
        if not reader.fieldnames or any(None in row or None in row.values() for row in rows):
            raise ValueError("expected a header and lines of its length")
    return rows


def read_array(path: Path, *, made_by: str) -> np.ndarray:
    """Open an array memory-mapped and read-only."""
    with whole_file(path, made_by) as existing:
        array = np.load(existing, mmap_mode="r", allow_pickle=False)
        assert isinstance(array, np.ndarray)
    return array


def file_sha256(path: Path) -> str:
    return file_digest(path, "sha256")


def file_digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file's bytes; `algorithm` is `sha256` or `md5`."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(*parts: Any) -> str:
    """Digest parts into 16 hexadecimal digits.

    Raises:
        TypeError: a part is not of JSON: an array or a path, say, which text would shorten or confuse with a string.
    """
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def only_writer(name: str) -> Iterator[None]:
    """Hold the lock of one stage's outputs; wait where another process, such as an orphan, still writes.

    A killed `dvc` leaves its stage running; the next `dvc repro` would start a second writer beside it.
    """
    with holding(LOCKS / f"{name}.lock", f"{name}: another process still writes these outputs; waiting for it to end"):
        yield


def file_lock(lock_file: Path) -> BaseFileLock:
    """Return the lock of a file: the system's, or on a file system without locks one that is there while it is held.

    The second names its holder's process: on the same host a lock whose holder was killed is taken over.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    if has_locks(lock_file.parent):
        return FileLock(lock_file)
    # An empty file of the other kind, which stays for good, would be taken for a lock that is held.
    return SoftFileLock(lock_file.with_name(f"{lock_file.name}.holder"))


@contextmanager
def holding(lock_file: Path, waiting: str) -> Iterator[None]:
    """Hold a lock; print `waiting` and wait where another process holds it."""
    lock = file_lock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if isinstance(lock, SoftFileLock):
            waiting += f"; where it was killed on another host, remove {lock.lock_file}"
        print(waiting, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
