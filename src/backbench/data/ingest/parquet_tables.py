"""Parquet files of labels: which columns they have, their values as text, and the images that rows hold themselves.

Image data sets of the Hugging Face hub are such files: an image is a struct of its bytes and the name of the file that
it came from, and the schema's metadata `huggingface` says which columns are images, and which numbers are which class
(https://huggingface.co/docs/datasets/about_dataset_features).
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backbench.data.ingest.label_tables import Table
from backbench.runtime.errors import DatasetError

ROWS_AT_ONCE = 64
BUFFER_BYTES = 2**20
BYTES_OF, PATH_OF = "bytes", "path"


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """Read a file within; a damaged one is refused in one line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{file}: expected a whole Parquet file, found it damaged ({' '.join(str(error).split())}); bring it again"
        ) from error


def parquet_table(file: Path) -> Table:
    """Read what columns a file has; their values are read when they are asked for.

    Raises:
        DatasetError: it is damaged.
    """
    with _whole(file):
        schema = pq.read_schema(file)
    features = _features(schema)
    return Table(
        file=file,
        names=tuple(schema.names),
        image_columns=tuple(field.name for field in schema if _holds_images(field.type)),
        label_columns=tuple(name for name in features if name in schema.names),
        texts=partial(_texts, file, features),
    )


def _features(schema: pa.Schema) -> Mapping[str, Sequence[str]]:
    """Return the names of the classes of each column that the file calls labels."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = described.get("info", {}).get("features", {})
        return {name: of["names"] for name, of in features.items() if of.get("_type") == "ClassLabel"}
    except (ValueError, AttributeError, KeyError):
        return {}


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == BYTES_OF and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _texts(file: Path, features: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """Return a column's values as text, empty for null; of images, the names of the files that they came from."""
    with _whole(file), pq.ParquetFile(file) as parquet:
        kind = parquet.schema_arrow.field(name).type
        if not _holds_images(kind):
            values = parquet.read([name]).column(0).to_pylist()
        elif pa.types.is_struct(kind) and any(field.name == PATH_OF for field in kind):
            structs = parquet.read([f"{name}.{PATH_OF}"]).column(0).to_pylist()
            values = [(struct or {}).get(PATH_OF) for struct in structs]
        else:
            values = [None] * parquet.metadata.num_rows
    return [_text(value, features.get(name)) for value in values]


def _text(value: Any, classes: Sequence[str] | None) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        # As a column of whole numbers is written where some are missing.
        value = int(value)
    if classes is None or not isinstance(value, int):
        return str(value).strip()
    # -1 stands for no label, as in a test set of a competition.
    return classes[value] if 0 <= value < len(classes) else ""


def image_bytes(file: Path, column: str, rows: Collection[int]) -> Iterator[bytes]:
    """Yield the images in these rows, which rise; memory holds a page of the file, not a group of its rows.

    Raises:
        DatasetError: the file is damaged.
    """
    wanted = set(rows)
    with _whole(file), pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False) as parquet:
        is_struct = pa.types.is_struct(parquet.schema_arrow.field(column).type)
        read = f"{column}.{BYTES_OF}" if is_struct else column
        row = 0
        for batch in parquet.iter_batches(batch_size=ROWS_AT_ONCE, columns=[read], use_threads=False):
            values = batch.column(0).field(BYTES_OF) if is_struct else batch.column(0)
            for value in values:
                if row in wanted:
                    yield value.as_py() or b""
                row += 1
