"""The files of `conf/backbone/`: one may name another as its base, and say only in what it differs, such as weights."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import to_typed
from backbench.config.config_files import read_named_yaml
from backbench.config.value_types import NAME_FORM, NAME_PATTERN
from backbench.runtime.errors import ConfigError

_GRAPH = {"constructor", "arguments", "width"}
COUNTED_OF = {"num_parameters": _GRAPH, "num_macs": {*_GRAPH, "input_size_pixels"}}


def read_backbone(path: Path) -> BackboneConfig:
    """Read and type the file of a backbone, with what it takes over from its base.

    Raises:
        ConfigError: it, or a base, cannot be read, is called otherwise than it calls itself, or has another form.
    """
    return to_typed(read_backbone_yaml(path), BackboneConfig, where=str(path))


def read_backbone_yaml(path: Path) -> dict[str, Any]:
    """Read the file of a backbone, with the keys that it takes over from its base.

    Raises:
        ConfigError: it, or a base, cannot be read, or is called otherwise than it calls itself.
    """
    return with_base(read_named_yaml(path), path.parent)


def with_base(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add the keys that a backbone does not have from its base, and those that the base has not from its own.

    A key is taken over whole or not at all: `pretrained` of two files is never mixed. What is counted of a
    network is not taken over by a file that differs in what it is counted of.

    Args:
        content: Of the backbone's file.
        folder: Where the file lies, and its base.

    Raises:
        ConfigError: a base is its own base, or cannot be read.
    """
    whole, names = dict(content), [content.get("name")]
    while (base := whole.pop("base", None)) is not None:
        where = folder / f"{names[-1]}.yaml"
        if not isinstance(base, str) or not re.fullmatch(NAME_PATTERN, base):
            raise ConfigError(f"{where}: base: expected {NAME_FORM}, found {base!r}; name a file beside it")
        if base in names:
            raise ConfigError(
                f"{where}: base: expected another backbone than {base}, which has it as a base; correct it"
            )
        names.append(base)
        taken = read_named_yaml(folder / f"{base}.yaml")
        whole = {key: value for key, value in taken.items() if not COUNTED_OF.get(key, set()) & whole.keys()} | whole
    return whole
