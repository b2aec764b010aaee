"""Look at every listed file once, and judge each: by its header, by its pixels, and beside all others."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, islice

from backbench.config.dataset_config import DatasetConfig, Resize
from backbench.data.arrays.sizes import deciding_side
from backbench.data.ingest.decode import USABLE, Decoded, bounded, decode, decode_header
from backbench.data.ingest.formats import UNREADABLE
from backbench.data.ingest.pixels import PixelRule
from backbench.data.ingest.source import Source, digest_of, is_there
from backbench.data.ingest.tree import Examined, ListedFile

EXACT_DUPLICATE = "exact duplicate of"
CONFLICTING_LABEL = "conflicting label with"
FILES_PER_CHUNK = 64
MOST_THREADS = 4


def _look(pair: tuple[ListedFile, Source], config: DatasetConfig, rule: PixelRule) -> tuple[Examined, Decoded]:
    listed, source = pair
    digest = digest_of(source)
    seen = decode(source, config, rule) if digest else Decoded(UNREADABLE)
    examined = Examined(
        path=listed.path,
        label=listed.label,
        own_split=listed.own_split,
        group=listed.group,
        digest=digest,
        pixel_digest=seen.pixel_digest,
        width=seen.width,
        height=seen.height,
        verdict=listed.verdict or seen.verdict,
        largest_value=seen.largest_value,
        is_nearly_constant=seen.is_nearly_constant,
        float_range=seen.float_range,
        num_pages=seen.num_pages,
    )
    return examined, seen


def presumed(listed: ListedFile) -> Examined:
    """Take a file for a usable image, unopened."""
    return Examined.without_pixels(listed.path, listed.verdict or USABLE, listed.label, listed.own_split, listed.group)


def look_at_headers(files: Sequence[ListedFile], config: DatasetConfig) -> Iterator[Examined]:
    """Judge every file by its header, in order: what damage and duplicates leave out is taken for usable."""

    def judged(pair: tuple[ListedFile, Source]) -> Examined:
        listed, source = pair
        file = presumed(listed)
        if not file.is_usable:
            return file
        seen = decode_header(source, config) if is_there(source) else Decoded(UNREADABLE)
        return replace(file, verdict=seen.verdict, width=seen.width, height=seen.height)

    with _threads() as threads:
        for chunk in _chunks(files):
            with bounded(config.max_image_pixels):
                seen = list(threads.map(judged, chunk))
            yield from seen


def examine(files: Sequence[ListedFile], config: DatasetConfig, rule: PixelRule) -> Iterator[tuple[Examined, Decoded]]:
    """Open every file once, in order, on a few threads; memory is bounded by one chunk of squares.

    Yields:
        The verdict on the file alone, and what decoding gave: pixels only where the rule has a depth or needs none.
    """
    with _threads() as threads:
        for chunk in _chunks(files):
            with bounded(config.max_image_pixels):
                seen = list(threads.map(lambda pair: _look(pair, config, rule), chunk))
            yield from seen


def _chunks(files: Sequence[ListedFile]) -> Iterator[list[tuple[ListedFile, Source]]]:
    pairs = zip(files, _sources(files), strict=True)
    while chunk := list(islice(pairs, FILES_PER_CHUNK)):
        yield chunk


def _sources(files: Sequence[ListedFile]) -> Iterator[Source]:
    """Yield where the bytes of each file are; rows of a Parquet file are read as they are asked for."""
    for (file, column), images in groupby(files, key=lambda listed: (listed.file, listed.column)):
        if not column:
            yield from (listed.file for listed in images)
            continue
        from backbench.data.ingest.parquet_tables import image_bytes

        yield from image_bytes(file, column, [listed.row for listed in images])


def deciding_sides(files: Iterable[Examined], resize: Resize) -> list[int]:
    """Return, of each usable picture, the side that becomes the side of its square."""
    return [
        deciding_side(file.width, file.height, resize)
        for file in files
        if file.is_usable and file.width is not None and file.height is not None
    ]


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS))


def without_duplicates(files: Sequence[Examined]) -> list[Examined]:
    """Judge files with equal upright RGB pixels, whatever their format: at most one of them stays usable.

    Under one class, the first by sorted path stays: in a folder with its own splits, test goes before train, and train
    before val. Under several classes none stays, for nobody can tell which label is right.
    """
    copies: dict[str, list[Examined]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.path):
        if file.is_usable:
            copies[file.pixel_digest].append(file)
    verdicts = {file.path: _among(file, copies[file.pixel_digest]) for file in files if file.is_usable}
    return [replace(file, verdict=verdicts.get(file.path, file.verdict)) for file in files]


def _among(file: Examined, copies: Sequence[Examined]) -> str:
    other = next((copy for copy in copies if copy.label != file.label), None)
    if other is not None:
        return f"{CONFLICTING_LABEL} {other.path}"
    return USABLE if file is copies[0] else f"{EXACT_DUPLICATE} {copies[0].path}"
