"""The rows of all files of labels: which image, its label, and, where the files say so, its split and its group."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbench.config.dataset_config import ColumnsConfig, DatasetConfig
from backbench.data.ingest.label_tables import Table, read_table
from backbench.data.ingest.listing import shown
from backbench.data.ingest.top_folders import listed, split_word
from backbench.runtime.errors import DatasetError

# As the Hugging Face hub names the parts of a split: train-00000-of-00002.parquet
SHARD = re.compile(r"(.+)-\d+-of-\d+")
NUM_EXAMPLES = 3


@dataclass(frozen=True)
class LabelRow:
    """What one row says; `split` is train, val or test, and what it does not say is empty.

    `path` is as seen from the data folder. Where `column` is not empty, the image is in that column of the row `row`
    of `file`; `path` is then the file's, the row's number, and the name that the image had, if it is known.
    """

    path: str
    label: str
    split: str
    group: str
    file: Path
    column: str = ""
    row: int = 0


@dataclass(frozen=True)
class LabelRows:
    """What all files say together: `files` as seen from the data folder, and a line for each thing that is wrong.

    `group_column` is empty where no column says what belongs together.
    """

    files: tuple[str, ...]
    rows: tuple[LabelRow, ...]
    has_splits: bool
    group_column: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Columns:
    """The names of the columns of one file, empty for what it has not; `image` or else `path`."""

    image: str
    path: str
    label: str
    split: str
    group: str


def read_labels(folder: Path, config: DatasetConfig) -> LabelRows:
    """Read the files of labels that `labels` names, which all have the same columns."""
    assert config.labels is not None
    files = sorted(file for file in folder.glob(config.labels) if file.is_file())
    names = tuple(shown(file.relative_to(folder).as_posix()) for file in files)
    if not files:
        line = (
            f"{config.file}: labels: expected a file in {folder}, found no {config.labels}; correct it, or put it there"
        )
        return LabelRows((), (), False, "", (line,))
    rows: list[LabelRow] = []
    problems: list[str] = []
    group_columns = set()
    for file, name in zip(files, names, strict=True):
        try:
            table = read_table(file)
            columns = _columns(table, config)
            rows += _rows(table, name, columns)
        except DatasetError as error:
            problems += error.lines
        else:
            group_columns.add(columns.group)
    if len(group_columns) > 1:
        problems.append(
            f"{folder / config.labels}: expected a column {max(group_columns)} in every file of labels, or in none, "
            f"found it in some; add it to the others, or set `group: {{alone: true}}` in {config.file}"
        )
    has_splits = any(row.split for row in rows)
    problems += _wrong_rows(rows, folder / config.labels, has_splits=has_splits)
    return LabelRows(names, tuple(rows), has_splits, max(group_columns, default=""), tuple(problems))


def _columns(table: Table, config: DatasetConfig) -> _Columns:
    """Find what each column is called.

    Raises:
        DatasetError: one is missing, or may be one or the other: all of them.
    """
    named = config.columns or ColumnsConfig()
    group = config.group.column if config.group is not None else "group" if "group" in table.names else None
    asked = {"path": named.path, "label": named.label, "split": named.split, "group": group}
    problems = [
        f"{table.file}: expected the column {name}, as {config.file} calls it, found {listed(table.names) or 'none'}; "
        "correct the name"
        for name in asked.values()
        if name is not None and name not in table.names
    ]
    found = {}
    for what, by_itself in (("path", table.image_columns), ("label", table.label_columns)):
        candidates = [name for name in table.names if name == what or name in by_itself]
        if what == "label" and what in candidates:
            candidates = [what]
        if asked[what] is None and len(candidates) != 1:
            problems.append(
                f"{table.file}: expected one column {what}, found {listed(candidates or table.names) or 'none'}; name "
                f"it in {config.file}: `columns: {{{what}: …}}`"
            )
        found[what] = asked[what] or next(iter(candidates), "")
    if problems:
        raise DatasetError(*problems)
    split = named.split or ("split" if "split" in table.names else "")
    is_image = found["path"] in table.image_columns
    image, path = (found["path"], "") if is_image else ("", found["path"])
    return _Columns(image, path, found["label"], split, group or "")


def _rows(table: Table, file: str, columns: _Columns) -> Iterator[LabelRow]:
    paths, labels = table.texts(columns.image or columns.path), table.texts(columns.label)
    splits = table.texts(columns.split) if columns.split else [_split_of(Path(file))] * len(paths)
    groups = table.texts(columns.group) if columns.group else [""] * len(paths)
    # As wide as the last row's number, so that the order of names is that of rows.
    width = len(str(len(paths) - 1))
    for row, (path, label, split, group) in enumerate(zip(paths, labels, splits, groups, strict=True)):
        word = split_word(split) or split
        if columns.image:
            place = "/".join(filter(None, (file, f"{row:0{width}}", path)))
            yield LabelRow(place, label, word, group, table.file, columns.image, row)
        else:
            yield LabelRow(path.removeprefix("./"), label, word, group, table.file)


def _split_of(file: Path) -> str:
    """Return the split that a file's name says, as the hub names the parts of one, or its folder's."""
    shard = SHARD.fullmatch(file.stem)
    return split_word(shard[1] if shard else file.parent.name)


def _wrong_rows(rows: Sequence[LabelRow], files: Path, *, has_splits: bool) -> Iterator[str]:
    nameless = sum(not row.path for row in rows)
    if nameless:
        yield f"{files}: expected a path in every row, found none in {nameless:,} of {len(rows):,}; add them"
    outside = [row.path for row in rows if row.path.startswith("/") or ".." in row.path.split("/")]
    if outside:
        yield (
            f"{files}: expected paths as seen from the data folder, found {_examples(outside)} in "
            f"{len(outside):,} of {len(rows):,} rows; write them as photos/a.jpg"
        )
    strange = Counter(row.split for row in rows if has_splits and row.split not in ("train", "val", "test"))
    if strange:
        found = ", ".join(f"{split or 'nothing'} in {number:,} rows" for split, number in strange.most_common(5))
        yield f"{files}: expected train, val or test as the split of every row, found {found}; correct it"
    if has_splits and not any(row.split == "train" for row in rows):
        others = listed(sorted({row.split for row in rows if row.split}))
        yield f"{files}: expected rows of train, found {others} alone; add them, or name another column of splits"


def _examples(names: Sequence[str]) -> str:
    return ", ".join([*names[:NUM_EXAMPLES], *(["…"] if len(names) > NUM_EXAMPLES else [])])
