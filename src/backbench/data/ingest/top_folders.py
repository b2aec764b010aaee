"""The top folders of a data set, as their names and the names of their files show them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from backbench.data.ingest.formats import suffixes
from backbench.data.ingest.listing import Listing, shown

# Lower case, singular, without what joins two words.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trainingset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset", "validset", "validationset", "devset"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "eval", "evaluation", "evalset", "holdout"), "test"),
}
MOST_NAMES = 30


@dataclass(frozen=True)
class TopFolder:
    """A top folder: how many images lie in it directly, and how many in each of its folders, at any depth."""

    name: str
    num_images: int
    below: Mapping[str, int]

    @property
    def split(self) -> str:
        return split_word(self.name)

    @property
    def holds_folders(self) -> bool:
        """Whether its images lie in folders; a few strays beside them change nothing."""
        return bool(self.below) and (not self.num_images or self.num_images < sum(self.below.values()))

    @property
    def content(self) -> str:
        """Say what lies in it."""
        inside = listed(sorted(self.below))
        if self.holds_folders:
            return f"{sum(self.below.values()):,} images in {inside}"
        return f"{self.num_images:,} images {f'beside {inside}' if inside else 'and no class folder'}"


def split_word(name: str) -> str:
    """Return train, val or test where a name is a word for it, in any case and number; else nothing."""
    word = re.sub(r"[\W_]", "", name.lower())
    return SPLIT_WORDS.get(word) or SPLIT_WORDS.get(word.removesuffix("s"), "")


def top_folders(listing: Listing) -> list[TopFolder]:
    """Count by the ending of file names: nothing is opened yet. Where no name has one, every file counts."""
    images = [file for file in listing.files if PurePath(file[-1]).suffix.lower() in suffixes()]
    num_images = Counter(file[: min(2, len(file) - 1)] for file in images or listing.files)
    below: dict[str, dict[str, int]] = defaultdict(dict)
    for path in listing.folders:
        if len(path) == 2:
            below[path[0]][path[1]] = num_images[path]
    return [TopFolder(path[0], num_images[path], below[path[0]]) for path in listing.folders if len(path) == 1]


def listed(names: Iterable[str]) -> str:
    """List names as text, the first thirty of them."""
    texts = list(map(shown, names))
    more = [f"{len(texts) - MOST_NAMES} more"] if len(texts) > MOST_NAMES else []
    return ", ".join([*texts[:MOST_NAMES], *more])
