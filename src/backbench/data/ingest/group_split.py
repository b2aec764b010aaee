"""Which split a whole group of images goes to, so that every class has about its share of every split.

Groups go one after another to where their classes lack most, larger ones first; then groups move, and few groups are
exchanged in pairs, as long as that brings the shares closer. All is arithmetic of Python's own floats in one order, so
that every machine gives the same split.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

MOST_PASSES = 20
# As many pairs are looked at as is a matter of a second.
MOST_EXCHANGED_GROUPS = 150
# More than all distances from the shares together can be: no class stays without images for the sake of shares.
EMPTY = 10.0
LEAST_GAIN = 1e-9

Moves = Sequence[tuple[int, str, str]]


class _Shares:
    """How many images of each class stand in each split, and how far that is from what is wanted."""

    def __init__(self, groups: Sequence[Mapping[str, int]], wanted: Mapping[str, float]) -> None:
        self._groups, self._wanted = groups, wanted
        self._totals: Counter[str] = Counter()
        for group in groups:
            self._totals.update(group)
        self._have: Counter[tuple[str, str]] = Counter()

    def put(self, group: int, split: str, sign: int = 1) -> None:
        for name, number in self._groups[group].items():
            self._have[split, name] += sign * number

    def lack(self, group: int, split: str) -> float:
        """Say how much a split wants of what a group has: the more, the fewer images of its classes it has."""
        return sum(
            number / self._totals[name] * (self._wanted[split] - self._have[split, name] / self._totals[name])
            for name, number in self._groups[group].items()
        )

    def change(self, moves: Moves) -> float:
        """Return by how much the distance grows where groups move from one split to another."""
        moved: dict[tuple[str, str], int] = defaultdict(int)
        for group, source, target in moves:
            for name, number in self._groups[group].items():
                moved[source, name] -= number
                moved[target, name] += number
        return sum(
            self._distance(split, name, self._have[split, name] + number)
            - self._distance(split, name, self._have[split, name])
            for (split, name), number in moved.items()
        )

    def _distance(self, split: str, name: str, number: int) -> float:
        return float((number / self._totals[name] - self._wanted[split]) ** 2 + EMPTY * (number == 0))

    def move(self, moves: Moves) -> None:
        for group, source, target in moves:
            self.put(group, source, -1)
            self.put(group, target)


def split_groups(groups: Sequence[Mapping[str, int]], wanted: Mapping[str, float]) -> list[str]:
    """Return the split of every group.

    Args:
        groups: How many images of each class each has; equally large ones are taken in this order.
        wanted: The share of every class that each split is to have; together 1.
    """
    shares = _Shares(groups, wanted)
    split_of = [""] * len(groups)
    # By size within a factor of two, so that the order decides too: it is what a seed changes.
    for group in sorted(range(len(groups)), key=lambda each: -sum(groups[each].values()).bit_length()):
        split_of[group] = max(wanted, key=lambda split: shares.lack(group, split))
        shares.put(group, split_of[group])
    for _ in range(MOST_PASSES):
        if not _improve(shares, split_of, list(wanted)):
            break
    return split_of


def _improve(shares: _Shares, split_of: list[str], splits: Sequence[str]) -> bool:
    """Move and exchange what brings the shares closer; say whether anything did."""
    is_better = False
    for group in range(len(split_of)):
        for target in splits:
            is_better |= _try([(group, split_of[group], target)], shares, split_of)
    if len(split_of) <= MOST_EXCHANGED_GROUPS:
        for one, other in combinations(range(len(split_of)), 2):
            moves = [(one, split_of[one], split_of[other]), (other, split_of[other], split_of[one])]
            is_better |= _try(moves, shares, split_of)
    return is_better


def _try(moves: Moves, shares: _Shares, split_of: list[str]) -> bool:
    if any(source == target for _, source, target in moves) or shares.change(moves) > -LEAST_GAIN:
        return False
    shares.move(moves)
    for group, _, target in moves:
        split_of[group] = target
    return True


def shares_of(groups: Iterable[Mapping[str, int]], split_of: Iterable[str]) -> dict[tuple[str, str], float]:
    """Return which share of each class stands in each split where it has images."""
    have: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    for group, split in zip(groups, split_of, strict=True):
        totals.update(group)
        have.update({(split, name): number for name, number in group.items()})
    return {(split, name): number / totals[name] for (split, name), number in have.items()}
