"""Which classes have too few usable images: a line for each kind of shortage, which names all its classes."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count

from backbench.config.dataset_config import DatasetConfig
from backbench.data.arrays.dataset import SPLITS
from backbench.data.ingest.formats import READ
from backbench.data.ingest.split import suffices, usable_by_class
from backbench.data.ingest.top_folders import listed
from backbench.data.ingest.tree import Examined

LEAST_FOLDS = 3  # one to test, one to select by, one to train on
Members = Mapping[str, Sequence[Examined]]


def shortages(
    files: Sequence[Examined], classes: Sequence[str], own_splits: Collection[str], config: DatasetConfig
) -> list[str]:
    """Say which classes have too few usable images for what the configuration asks.

    `files` are judged as far as that was done: what is usable may be more than there is. `classes` are those that are
    not left out as too rare, `own_splits` the splits that the folder itself gives.
    """
    of_class = usable_by_class(files, classes)
    pools = {name: sum(file.own_split in ("", "train") for file in members) for name, members in of_class.items()}
    trained = {name: pool for name, pool in pools.items() if pool}
    missing = [
        *_too_few_classes(classes, config),
        *_without_images(of_class, Counter(file.label for file in files), config),
    ]
    if config.folds is not None:
        return [
            *_own_splits_beside_folds(own_splits, config),
            *missing,
            *_too_few_for_folds(pools, config.folds, config),
        ]
    return [
        *missing,
        *_without_train_images([name for name, pool in pools.items() if of_class[name] and not pool], config),
        *_small_pools(trained, of_class, own_splits, config),
        *_missing_in_own_split({name: of_class[name] for name in trained}, own_splits, config),
    ]


def _too_few_classes(classes: Sequence[str], config: DatasetConfig) -> Iterator[str]:
    if len(classes) < 2 and config.min_per_class is not None:
        yield (
            f"{config.path}: expected at least 2 classes of {config.min_per_class} usable images, found "
            f"{listed(classes) or 'none'}; add images, or lower min_per_class in {config.file}"
        )


def _without_images(of_class: Members, num_files: Mapping[str, int], config: DatasetConfig) -> Iterator[str]:
    empty = [f"{name} (0 of {num_files[name]} files)" for name, members in of_class.items() if not members]
    if empty:
        yield (
            f"expected {READ} images in every class, found none that can be used in "
            f"{_counted(empty)}; add images, or {_leave_out('the folders', config)}"
        )


def _without_train_images(names: Sequence[str], config: DatasetConfig) -> Iterator[str]:
    if names:
        yield (
            f"expected the classes of train in every split, found besides {_counted(names)}; add images of them to "
            f"train, or {_leave_out('their folders', config)}{'' if config.labels else f', as test/{names[0]}'}"
        )


def _small_pools(
    pools: Mapping[str, int], of_class: Members, own_splits: Collection[str], config: DatasetConfig
) -> Iterator[str]:
    few = {name: pool for name, pool in pools.items() if not suffices(pool, own_splits, config)}
    if not few:
        return
    least = next(number for number in count(max(few.values()) + 1) if suffices(number, own_splits, config))
    carved = [split for split in SPLITS if split == "train" or split not in own_splits]
    names = _counted([f"{name} ({pool})" for name, pool in few.items()])
    asked = [key for key in ("train_per_class", "val_per_class") if getattr(config, key) is not None]
    fewer = f", lower {' or '.join(asked)}" if asked else ""
    rare = all(len(of_class[name]) < least for name in few)
    by_number = f"leave such classes out by `min_per_class: {least}` in {config.file}"
    without = by_number if rare else _leave_out("their folders", config)
    yield (
        f"expected at least {least} usable images{' of train' if own_splits else ''} in every class, for "
        f"{', '.join(carved)}, found fewer in {names}; add images{fewer}, or {without}"
    )


def _missing_in_own_split(of_class: Members, own_splits: Collection[str], config: DatasetConfig) -> Iterator[str]:
    for split in (split for split in SPLITS[1:] if split in own_splits):
        lacking = [name for name, members in of_class.items() if all(file.own_split != split for file in members)]
        if lacking:
            by_skipping = f"leave {split} out by skip_folders in {config.file}: then it is taken from train"
            without = f"take the rows of {split} out of {config.labels}" if config.labels else by_skipping
            yield (
                f"expected a usable image of every class in {split}, found none of {_counted(lacking)}; add images to "
                f"{split}, or {without}"
            )


def _own_splits_beside_folds(own_splits: Collection[str], config: DatasetConfig) -> Iterator[str]:
    given = [split for split in SPLITS[1:] if split in own_splits]
    if given:
        yield (
            f"{config.file}: folds: expected images without {' and '.join(SPLITS[1:])} of their own, since every image "
            f"is tested in its turn, found {' and '.join(given)}; leave them out, or set `folds: null`"
        )


def _too_few_for_folds(pools: Mapping[str, int], folds: int, config: DatasetConfig) -> Iterator[str]:
    few = {name: pool for name, pool in pools.items() if 0 < pool < folds}
    if few:
        named = _counted([f"{name} ({pool})" for name, pool in few.items()])
        yield (
            f"{config.file}: folds: expected at least {folds} usable images in every class, one in every fold, found "
            f"fewer in {named}; {fewer_folds(min(few.values()))}, "
            f"add images, or leave such classes out by `min_per_class: {folds}`"
        )


def fewer_folds(most: int) -> str:
    """Say how many folds there may be at most, where there are too few images or groups for those asked for."""
    return f"set at most `folds: {most}`" if most >= LEAST_FOLDS else "set `folds: null`"


def _leave_out(folders: str, config: DatasetConfig) -> str:
    if config.labels is not None:
        return f"take their rows out of {config.labels}"
    return f"leave {folders} out by skip_folders in {config.file}"


def _counted(classes: Sequence[str]) -> str:
    number = f"{len(classes)} classes: " if len(classes) > 1 else ""
    return f"{number}{listed(classes)}"
