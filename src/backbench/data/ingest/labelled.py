"""A folder of images whose labels are in a file: which file or row is an image of which class, and what is amiss."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.label_rows import LabelRow, read_labels
from backbench.data.ingest.listing import Listing, shown
from backbench.data.ingest.tree import Examined, ListedFile, Tree

FILE_OF_LABELS = "file of labels"
NO_LABEL = "no label"
MISSING = "missing"
# Rows of one path that do not agree: whose word is right, nobody can tell.
DISAGREEING = (("label", "two labels"), ("split", "two splits"), ("group", "two groups"))


def labelled_tree(listing: Listing, folder: Path, config: DatasetConfig) -> Tree:
    """Find the image of every row, and a verdict on every file and on every row without one."""
    labels = read_labels(folder, config)
    rows_of: dict[str, list[LabelRow]] = defaultdict(list)
    for row in labels.rows:
        if row.path:
            rows_of[row.path].append(row)
    there = {shown("/".join(parts)): folder.joinpath(*parts) for parts in listing.files}
    files = [_of_rows(path, rows, there) for path, rows in rows_of.items()]
    absent = [path for path, file in zip(rows_of, files, strict=True) if file is None]
    loose = sorted(there.keys() - rows_of.keys() - set(labels.files))
    left_out = {path: Examined.without_pixels(path, verdict) for path, verdict in listing.left_out.items()}
    left_out |= {name: Examined.without_pixels(name, FILE_OF_LABELS) for name in labels.files}
    for path in absent:
        verdict = _why_absent(path, listing)
        (row, *_) = rows_of[path]
        left_out.setdefault(path, Examined(path, row.label, row.split, "", "", None, None, verdict))
    found = [file for file in files if file is not None]
    return Tree(
        classes=tuple(sorted({row.label for row in labels.rows if row.label})),
        own_splits=frozenset(row.split for row in labels.rows if row.split),
        files=tuple(
            sorted(
                [*found, *(ListedFile(there[path], path, "", "", verdict=NO_LABEL) for path in loose)],
                key=lambda file: file.path,
            )
        ),
        left_out=tuple(left_out[path] for path in sorted(left_out)),
        problems=labels.problems
        or (*_too_few_labels(labels.rows, folder, config), *_all_absent(absent, found, there, folder, config)),
        grouping=f"column {labels.group_column}" if labels.group_column else "",
        has_labels_apart=True,
        num_repeated_rows=sum(len(rows) - 1 for rows in rows_of.values()),
    )


def _of_rows(path: str, rows: Sequence[LabelRow], there: Mapping[str, Path]) -> ListedFile | None:
    """Return the image of all rows that name it, None where there is none."""
    row = rows[0]
    file = row.file if row.column else there.get(path)
    if file is None:
        return None
    verdict = next(_disagreements(rows), "" if row.label else NO_LABEL)
    if verdict:
        return ListedFile(file, path, "", "", verdict=verdict, column=row.column, row=row.row)
    return ListedFile(file, path, row.label, row.split, row.group, "", row.column, row.row)


def _disagreements(rows: Sequence[LabelRow]) -> Iterator[str]:
    for field, verdict in DISAGREEING:
        said = sorted({getattr(row, field) for row in rows})
        if len(said) > 1:
            yield f"{verdict}: {', '.join(text or 'none' for text in said)}"


def _why_absent(path: str, listing: Listing) -> str:
    """Return the verdict on what it lies in, where that is not entered."""
    parts = path.split("/")
    above = ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
    return next((listing.left_out[folder] for folder in above if folder in listing.left_out), MISSING)


def _too_few_labels(rows: Sequence[LabelRow], folder: Path, config: DatasetConfig) -> Iterator[str]:
    found = {row.label for row in rows if row.label}
    if len(found) < 2:
        yield (
            f"{folder / str(config.labels)}: expected at least 2 labels, found {''.join(found) or 'none'}; name "
            f"another column of them in {config.file}"
        )


def _all_absent(
    absent: Sequence[str], found: Sequence[ListedFile], there: Mapping[str, Path], folder: Path, config: DatasetConfig
) -> Iterator[str]:
    if not absent or found:
        return
    first = absent[0]
    line = f"{folder / str(config.labels)}: expected paths of images as seen from {folder}, found no image at any of "
    line += f"{len(absent):,}, such as {folder / first}"
    elsewhere = sorted(path for path in there if path.endswith(f"/{first}"))
    inner = Path(folder, elsewhere[0].removesuffix(f"/{first}")) if elsewhere else None
    advice = (
        f"put the file of labels into {inner}, and set `path: {inner}` in {config.file}" if inner else "correct them"
    )
    yield f"{line}; {advice}"
