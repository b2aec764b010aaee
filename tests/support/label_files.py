"""Files of labels for the tests of the data path: CSV, and Parquet as the Hugging Face hub's data sets have it."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def write_labels(path: Path, rows: Iterable[Sequence[object]], header: Sequence[str] = ("path", "label")) -> Path:
    """Write a CSV file of labels with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def png_bytes(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_hub_file(
    path: Path, images: Iterable[Image.Image], labels: Sequence[int | None], classes: Sequence[str], **columns: Any
) -> Path:
    """Write a Parquet file as the hub's image data sets are: bytes and names of files, and numbers of classes."""
    structs = [{"bytes": png_bytes(image), "path": f"IMG_{row}.png"} for row, image in enumerate(images)]
    features = {"image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"}}
    table = pa.table({"image": structs, "label": pa.array(labels, pa.int64()), **columns})
    return write_parquet(path, table, {"huggingface": json.dumps({"info": {"features": features}})})


def write_parquet(path: Path, table: pa.Table, metadata: Mapping[str, str] | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(dict(metadata or {})), path, **options)
    return path
