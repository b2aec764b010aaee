"""Whole groups give every class about its share of each split, and leave no split without a class."""

from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from backbench.data.ingest.group_split import shares_of, split_groups

WANTED = {"train": 0.6, "val": 0.2, "test": 0.2}


def groups_of(seed: int, num_groups: int) -> list[Counter[str]]:
    """Draw groups of very different sizes, each mostly of one of three classes."""
    random = np.random.default_rng(seed)
    groups = []
    for _ in range(num_groups):
        likely = random.dirichlet([0.3] * 3)
        labels = random.choice(3, size=1 + int(random.lognormal(2, 1)), p=likely)
        groups.append(Counter(map(str, labels.tolist())))
    return groups


def distance(groups: list[Counter[str]], split_of: list[str], wanted: dict[str, float]) -> float:
    """Sum the squares of how far the share of every class in every split is from what is wanted."""
    have = shares_of(groups, split_of)
    return sum((have.get((split, name), 0) - wanted[split]) ** 2 for split in wanted for name in "012")


def test_groups_of_one_size_are_split_exactly() -> None:
    groups = [Counter({name: 4}) for name in "ab" for _ in range(10)]
    have = shares_of(groups, split_groups(groups, WANTED))
    assert have == pytest.approx({(split, name): WANTED[split] for split in WANTED for name in "ab"})


def test_three_groups_of_a_class_are_one_for_each_split_whatever_their_sizes() -> None:
    groups = [Counter({"a": size}) for size in (100, 1, 1)] + [Counter({"b": 10}) for _ in range(20)]
    split_of = split_groups(groups, WANTED)
    assert split_of[0] == "train"
    assert set(split_of[:3]) == set(WANTED)


def test_a_class_that_only_mixed_groups_have_is_in_every_split() -> None:
    groups = [Counter({"a": 20, "b": 1}), Counter({"a": 5, "b": 1}), Counter({"a": 5, "b": 1})]
    groups += [Counter({"a": 3}) for _ in range(10)]
    have = shares_of(groups, split_groups(groups, WANTED))
    assert {split for split, name in have if name == "b"} == set(WANTED)


@pytest.mark.parametrize("num_groups", [30, 200])
def test_shares_are_closer_than_those_of_scikit_learn(num_groups: int) -> None:
    """StratifiedGroupKFold splits into equal folds, so it is compared where one of five folds is test."""
    wanted = {"train": 0.8, "test": 0.2}
    ours, theirs = [], []
    for seed in range(10):
        groups = groups_of(seed, num_groups)
        ours.append(distance(groups, split_groups(groups, wanted), wanted))
        labels = [name for group in groups for name in group.elements()]
        members = [index for index, group in enumerate(groups) for _ in group.elements()]
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, members)
        in_test = {members[row] for row in next(iter(folds))[1]}
        split_of = ["test" if index in in_test else "train" for index in range(num_groups)]
        theirs.append(distance(groups, split_of, wanted))
    assert all(one < other + 1e-5 for one, other in zip(ours, theirs, strict=True))
    assert np.mean(ours) < np.mean(theirs) / 2


def test_the_order_decides_among_groups_of_like_size() -> None:
    groups = [Counter({name: size}) for size in range(4, 8) for name in "ab" for _ in range(4)]
    forwards = split_groups(groups, WANTED)
    backwards = split_groups(groups[::-1], WANTED)[::-1]
    assert forwards == split_groups(groups, WANTED)
    assert forwards != backwards


def test_many_groups_take_no_time_to_speak_of() -> None:
    groups = groups_of(0, 20_000)
    assert distance(groups, split_groups(groups, WANTED), WANTED) < 1e-6
