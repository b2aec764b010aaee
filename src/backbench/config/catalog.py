"""The catalogue of backbones: every `conf/backbone/*.yaml`, typed, filtered and sorted; no network is built."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.backbone_files import read_backbone
from backbench.config.config import BenchmarkConfig, gathered
from backbench.config.config_files import read_named
from backbench.runtime.errors import ConfigError

FOLDER, WEIGHTS = Path("conf/backbone"), Path("conf/weights")
BYTES_PER_PARAMETER = 4  # float32


class WeightsKind(StrEnum):
    """Which pretrained weights a backbone has."""

    FORMULA = "formula"
    IMAGENET = "imagenet"
    PUBLISHED = "published"
    NONE = "none"


class SortKey(StrEnum):
    """What the catalogue is ordered by, the smallest first."""

    PARAMETERS = "parameters"
    MACS = "macs"
    INPUT = "input"
    NAME = "name"
    FAMILY = "family"


@dataclass(frozen=True)
class Filter:
    """What a backbone must be, and how an error message says so."""

    asked: str
    passes: Callable[[BackboneConfig], bool]


def read_backbones(names: Iterable[str]) -> list[BackboneConfig]:
    """Read backbones of the project in the working directory.

    Raises:
        ConfigError: files are missing, are no YAML, have another form, or another name than the backbone: all of them.
    """
    return gathered(partial(read_backbone, FOLDER / f"{name}.yaml") for name in names)


def read_weighted(benchmark: BenchmarkConfig) -> list[tuple[BackboneConfig, WeightsConfig]]:
    """Read the backbones of a benchmark, each with the weights that it names, or else the benchmark does.

    Raises:
        ConfigError: as `read_backbones` does, and of the weights.
    """
    backbones = read_backbones(benchmark.backbones)
    chosen = [backbone.weights or benchmark.weights for backbone in backbones]
    weights = gathered(partial(read_named, WEIGHTS / f"{name}.yaml", WeightsConfig) for name in chosen)
    return list(zip(backbones, weights, strict=True))


def read_catalog() -> list[BackboneConfig]:
    """Read all of them, in the order of their names."""
    return read_backbones(names())


def names() -> list[str]:
    """Return the names of all backbones, sorted; no file is opened.

    Raises:
        ConfigError: there is none.
    """
    found = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if not found:
        raise ConfigError(f"expected backbones in {FOLDER}, found none; run it in the project's folder")
    return found


def weights_kinds(backbone: BackboneConfig) -> tuple[WeightsKind, ...]:
    """Return which pretrained weights there are; `none` alone where there are none."""
    origins = {
        WeightsKind.FORMULA: backbone.formula,
        WeightsKind.IMAGENET: backbone.imagenet,
        WeightsKind.PUBLISHED: backbone.pretrained,
    }
    return tuple(kind for kind, origin in origins.items() if origin) or (WeightsKind.NONE,)


def licences(backbone: BackboneConfig) -> tuple[str, ...]:
    """Return the licences of the weights that there are, each once."""
    origins = (backbone.formula, backbone.imagenet, backbone.pretrained)
    return tuple(dict.fromkeys(origin.licence for origin in origins if origin))


def weights_bytes(backbone: BackboneConfig) -> int | None:
    """Return the size of the float32 weights without the classifier."""
    return None if backbone.num_parameters is None else BYTES_PER_PARAMETER * backbone.num_parameters


def named(pattern: str) -> Filter:
    """Ask for a part of the name, or for a shell pattern where it holds `*`, `?` or `[`."""
    is_shell_pattern = any(sign in pattern for sign in "*?[")
    spelled = pattern.lower() if is_shell_pattern else f"*{pattern.lower()}*"
    return Filter(f"name {pattern}", lambda backbone: fnmatchcase(backbone.name, spelled))


def of_families(families: Sequence[str]) -> Filter:
    """Ask for one of several families."""
    return Filter(f"family {' or '.join(families)}", lambda backbone: backbone.family in families)


def with_weights(kind: WeightsKind) -> Filter:
    """Ask for pretrained weights of one kind, or for none at all."""
    return Filter(f"weights {kind}", lambda backbone: kind in weights_kinds(backbone))


def with_licence(licence: str) -> Filter:
    """Ask for weights under a licence, whatever its capitals."""
    wanted = licence.lower()
    return Filter(f"licence {licence}", lambda backbone: wanted in map(str.lower, licences(backbone)))


def at_most(measure: SortKey, limit: int) -> Filter:
    """Ask for at most so many parameters, multiply-accumulates or pixels; what is not known is never at most."""
    return Filter(f"at most {limit:,} {measure}", lambda backbone: bool(_RANKS[measure](backbone) <= limit))


def chosen(backbones: Sequence[BackboneConfig], filters: Sequence[Filter]) -> list[BackboneConfig]:
    """Return those that pass every filter.

    Raises:
        ConfigError: none does; the message names the filter that left nothing.
    """
    left = list(backbones)
    for number, wanted in enumerate(filters):
        passing = [backbone for backbone in left if wanted.passes(backbone)]
        if not passing:
            before = "" if number == 0 else f" that have {', '.join(one.asked for one in filters[:number])}"
            raise ConfigError(
                f"expected a backbone with {wanted.asked}, found none among the {len(left)}{before}; ask for less, "
                "or see what there is with `backbench backbones`"
            )
        left = passing
    return left


def ordered(backbones: Sequence[BackboneConfig], key: SortKey) -> list[BackboneConfig]:
    """Sort, the smallest first; equal ones by parameters and name, unknown sizes last."""
    return sorted(backbones, key=lambda each: (_RANKS[key](each), _known(each.num_parameters), each.name))


def _known(count: int | None) -> float:
    return math.inf if count is None else count


_RANKS: dict[SortKey, Callable[[BackboneConfig], Any]] = {
    SortKey.PARAMETERS: lambda backbone: _known(backbone.num_parameters),
    SortKey.MACS: lambda backbone: _known(backbone.num_macs),
    SortKey.INPUT: lambda backbone: backbone.input_size_pixels,
    SortKey.NAME: lambda backbone: backbone.name,
    SortKey.FAMILY: lambda backbone: backbone.family,
}
