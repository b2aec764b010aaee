"""Which images go to one split together because they are near copies, and what is said of them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.groups import numbers_short
from backbench.data.ingest.split import Kept, usable_by_class
from backbench.data.ingest.top_folders import listed
from backbench.data.ingest.tree import Examined

PathPair = tuple[str, str]


@dataclass(frozen=True)
class NearCopies:
    """How many images are near copies of an earlier one, how many of these have another class or another split.

    Images stand in two splits where the folder's own splits say so, or where more images are alike than may be
    joined.
    """

    num_images: int
    num_in_other_class: int
    num_in_other_split: int

    def __str__(self) -> str:
        said = f"{self.num_images:,} near copies of other images"
        if self.num_in_other_class:
            said += f", {self.num_in_other_class:,} of another class, look at them"
        if self.num_in_other_split:
            return f"{said}, {self.num_in_other_split:,} in another split, which flatters: see docs/data.md"
        return f"{said}, none in another split"


def with_near_copies(files: Sequence[Examined], pairs: Sequence[PathPair]) -> list[Examined]:
    """Tell every file of which it is a near copy, and what it stands together with.

    Args:
        files: Those of a folder, in any order; their groups are joined whole.
        pairs: Near copies by path, the closest first; of each the first path is the earlier one.
    """
    copy_of: dict[str, str] = {}
    for one, other in pairs:
        copy_of.setdefault(other, one)
    together = _joined(files, pairs)
    return [
        replace(file, near_copy_of=copy_of.get(file.path, ""), together=together.get(file.unit, ""))
        if file.path in copy_of or file.unit in together
        else file
        for file in files
    ]


def _joined(files: Sequence[Examined], pairs: Sequence[PathPair]) -> dict[str, str]:
    """Map each unit that is joined with others to the name of the set: the first of its units.

    The closest are joined first, as long as a set holds no more than `most_together` units of any class: so a chain
    of images that lead over to one another, or a class whose images are all alike, falls into pieces.
    """
    pool = {file.path: file for file in files if file.is_usable and file.own_split in ("", "train")}
    units_of: dict[str, set[str]] = defaultdict(set)
    classes_of: dict[str, set[str]] = defaultdict(set)
    for file in pool.values():
        units_of[file.label].add(file.unit)
        classes_of[file.unit].add(file.label)
    most = {name: most_together(len(units)) for name, units in units_of.items()}
    set_of = {unit: [unit] for unit in classes_of}
    room_of = {unit: min(most[name] for name in names) for unit, names in classes_of.items()}
    for one, other in pairs:
        if one not in pool or other not in pool:
            continue
        small, large = sorted((set_of[pool[one].unit], set_of[pool[other].unit]), key=len)
        room = min(room_of[small[0]], room_of[large[0]])
        if small is large or len(small) + len(large) > room:
            continue
        large += small
        room_of[large[0]] = room
        set_of |= dict.fromkeys(small, large)
    sets = [of for unit, of in set_of.items() if of[0] == unit and len(of) > 1]
    return {unit: name for of, name in zip(sets, map(min, sets), strict=True) for unit in of}


def most_together(num_units: int) -> int:
    """Return how many images, or groups, of a class with so many are joined at most.

    A fifth of them, as the smaller splits have by default; of few up to three, as long as three sets remain.
    """
    return max(num_units // 5, min(num_units // 3, 3))


def copy_problems(kept: Kept, own_splits: Collection[str], config: DatasetConfig) -> list[str]:
    """Say which splits have too few images of a class because near copies stay together."""
    usable = [file for members in usable_by_class(kept.files, kept.classes).values() for file in members]
    asked, few = numbers_short(usable, kept.classes, own_splits, config)
    if not few:
        return []
    return [
        f"expected so many images of every class where near copies stay together: {asked}, found fewer in "
        f"{listed(few)}; add images that are no copies, or set `near_duplicates: null` in {config.file}"
    ]


def count_near_copies(
    files: Sequence[Examined], pairs: Sequence[PathPair], split_of: Mapping[str, str]
) -> NearCopies | None:
    """Count near copies among the usable files; None where there are none."""
    label_of = {file.path: file.label for file in files if file.is_usable}
    found = [(one, other) for one, other in pairs if one in label_of and other in label_of]
    if not found:
        return None
    in_other_class = {other for one, other in found if label_of[one] != label_of[other]}
    splits = [(split_of.get(one), split_of.get(other), other) for one, other in found]
    in_other_split = {other for first, second, other in splits if first and second and first != second}
    return NearCopies(len({other for _, other in found}), len(in_other_class), len(in_other_split))
