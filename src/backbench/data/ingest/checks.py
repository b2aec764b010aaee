"""Everything that is wrong with a data set, told at once: from its names, from the headers, and from the pixels."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from backbench.config.dataset_config import DatasetConfig
from backbench.data.ingest.copy_sets import copy_problems
from backbench.data.ingest.groups import group_problems
from backbench.data.ingest.labelled import DISAGREEING
from backbench.data.ingest.listing import LITTER
from backbench.data.ingest.scan import CONFLICTING_LABEL, EXACT_DUPLICATE
from backbench.data.ingest.shortages import shortages
from backbench.data.ingest.split import Kept, without_rare_classes
from backbench.data.ingest.tree import Examined, Tree
from backbench.runtime.errors import DatasetError

NUM_EXAMPLES = 3
LEFT_OUT = "left out, which by itself stops nothing"


def check(tree: Tree, files: Sequence[Examined], config: DatasetConfig, *others: str) -> Kept:
    """Return the files and classes that stay of `tree`, whose `files` are judged as far as that was done.

    Raises:
        DatasetError: all that is wrong, `others` first, and last what is left out of the data set.
    """
    kept = without_rare_classes(files, tree.classes, config.min_per_class)
    few = shortages(kept.files, kept.classes, tree.own_splits, config)
    problems = [*others, *tree.problems, *few]
    if tree.grouping and not tree.problems:
        problems += group_problems(kept, tree, config, is_enough=not few)
    elif not problems and any(file.together for file in kept.files):
        problems += copy_problems(kept, tree.own_splits, config)
    if problems:
        raise DatasetError(*problems, *_left_out([*kept.files, *tree.left_out]))
    return kept


def kind(verdict: str) -> str:
    """Name a verdict without the file, or what else, that it points to."""
    named = {EXACT_DUPLICATE: "exact duplicate", CONFLICTING_LABEL: "conflicting label"}
    named |= {kind: kind for _, kind in DISAGREEING}
    return next((kind for start, kind in named.items() if verdict.startswith(start)), verdict)


def litter(files: Sequence[Examined]) -> dict[str, int]:
    """Count the folders that are left out as litter, by name."""
    names = Counter(PurePosixPath(file.path).name for file in files if file.verdict == LITTER)
    return dict(sorted(names.items()))


def _left_out(files: Sequence[Examined]) -> list[str]:
    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if not file.is_usable:
            paths[kind(file.verdict)].append(file.path)
    if not paths:
        return []
    told = []
    for verdict, of in sorted(paths.items()):
        more = ["…"] if len(of) > NUM_EXAMPLES else []
        told.append(f"{len(of)} {verdict} ({', '.join([*sorted(of)[:NUM_EXAMPLES], *more])})")
    return [f"{LEFT_OUT}: {', '.join(told)}; docs/data.md says what each means"]
