"""The columns of a file of labels, CSV or Parquet, as text."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backbench.runtime.errors import DatasetError


@dataclass(frozen=True)
class Table:
    """The columns of one file.

    `image_columns` hold images themselves, and `label_columns` are those that the file calls labels; a CSV file has
    neither. `texts` reads a column: stripped of white space, empty where there is no value.
    """

    file: Path
    names: tuple[str, ...]
    image_columns: tuple[str, ...]
    label_columns: tuple[str, ...]
    texts: Callable[[str], list[str]]


def read_table(file: Path) -> Table:
    """Read a file of labels by its ending.

    Raises:
        DatasetError: it is damaged, or of another form.
    """
    if file.suffix == ".csv":
        return _csv_table(file)
    from backbench.data.ingest.parquet_tables import parquet_table

    return parquet_table(file)


def _csv_table(file: Path) -> Table:
    try:
        # Spreadsheets put a byte order mark first.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            # Semicolons where a comma is for decimals, tabs where a table was copied.
            header = next((line for line in stream if line.strip()), "")
            separator = max(",;\t", key=header.count)
            stream.seek(0)
            lines = [line for line in csv.reader(stream, delimiter=separator, strict=True) if line]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise DatasetError(f"{file}: expected CSV in UTF-8, found something else ({error}); save it as that") from error
    names = tuple(name.strip() for name in lines[0]) if lines else ()
    if len(set(names)) < len(names):
        raise DatasetError(f"{file}: expected every column once, found {', '.join(names)}; call them differently")
    odd = [number for number, line in enumerate(lines, start=1) if len(line) != len(names)]
    if odd:
        raise DatasetError(
            f"{file}: expected {len(names)} values in every row, as its header has names, found "
            f"{len(lines[odd[0] - 1])} in row {odd[0]}{f' and {len(odd) - 1} more rows' if odd[1:] else ''}; quote "
            "values that hold a separator, or correct them"
        )
    columns = {name: [line[place].strip() for line in lines[1:]] for place, name in enumerate(names)}
    return Table(file, names, (), (), columns.__getitem__)
