"""What stands in a folder, file by file: before a file is opened, and after."""

from dataclasses import dataclass
from pathlib import Path

from backbench.data.ingest.decode import USABLE

NOT_IN_A_CLASS_FOLDER = "not in a class folder"


@dataclass(frozen=True)
class ListedFile:
    """A file before it is opened.

    `path` is relative to the folder, with `/`; `label` is its class, or empty where it has none; `own_split` is train,
    val or test where the folder or a file of labels says so, else empty; `group` is what it belongs to, or empty.
    `verdict` is what is known of it already, such as that it has no label, else empty. Where `column` is not empty,
    the image is itself in that column of the Parquet file `file`, in the row `row`.
    """

    file: Path
    path: str
    label: str
    own_split: str
    group: str = ""
    verdict: str = ""
    column: str = ""
    row: int = 0


@dataclass(frozen=True)
class Tree:
    """What stands in a folder: classes and files are sorted, `own_splits` is empty where it has none.

    `left_out` are folders that are not entered, and files that are not opened, with their verdicts. `problems` is a
    line for each thing that keeps the folder from being used. `grouping` says by what its images belong together, and
    is empty where each stands for itself. `has_labels_apart` where labels come from a file, and not from the paths;
    `num_repeated_rows` is how many of its rows say again what another one said.
    """

    classes: tuple[str, ...]
    own_splits: frozenset[str]
    files: tuple[ListedFile, ...]
    left_out: tuple["Examined", ...] = ()
    problems: tuple[str, ...] = ()
    grouping: str = ""
    has_labels_apart: bool = False
    num_repeated_rows: int = 0


@dataclass(frozen=True)
class Examined:
    """A file after it was opened; digests are hexadecimal SHA-256, of the file's bytes and of its pixels.

    `near_copy_of` is the path of the image that it is nearly a copy of, and `together` names what it goes to one split
    with for such copies' sake, where that is more than its group; both are empty else.
    `largest_value` is of an image deeper than 8 bits alone, `float_range` of one of floating-point numbers, and
    `num_pages` of a TIFF.
    """

    path: str
    label: str
    own_split: str
    digest: str
    pixel_digest: str
    width: int | None
    height: int | None
    verdict: str
    largest_value: int | None = None
    is_nearly_constant: bool = False
    group: str = ""
    float_range: tuple[float, float] | None = None
    num_pages: int = 1
    near_copy_of: str = ""
    together: str = ""

    @property
    def is_usable(self) -> bool:
        return self.verdict == USABLE

    @property
    def unit(self) -> str:
        """Name what goes to one split whole: near copies, a group, or the image alone."""
        return self.together or self.group or self.path

    @classmethod
    def without_pixels(
        cls, path: str, verdict: str, label: str = "", own_split: str = "", group: str = ""
    ) -> "Examined":
        """Judge what is not decoded; its path stands for its digests."""
        digest = path if label else ""
        return cls(path, label, own_split, digest, digest, None, None, verdict, group=group)
