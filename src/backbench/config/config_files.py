"""The files of `conf/`: read, typed, and called as they call themselves.

The name of a file decides where a stage writes; the `name` inside it is what a record says. They are the same.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from backbench.config.config import gathered, to_typed
from backbench.config.strategy_config import StrategyConfig
from backbench.config.value_types import NAME_FORM, NAME_PATTERN
from backbench.runtime.errors import ConfigError

# Groups whose files hold their name.
NAMED = ("dataset", "weights", "backbone", "strategy", "search", "workers")
Named = TypeVar("Named")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file.

    Raises:
        ConfigError: there is no such file, or it holds something else; the line is named where YAML knows it.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError as error:
        raise ConfigError(f"expected {path}, found nothing there; correct the name, or add the file") from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: expected YAML, found something else ({reason}); correct it there") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(content).__name__}; correct it there")
    return {str(key): value for key, value in content.items()}


def read_named_yaml(path: Path) -> dict[str, Any]:
    """Read a file of one of the groups `NAMED`.

    Raises:
        ConfigError: it cannot be read, or is called otherwise than it calls itself.
    """
    content = read_yaml(path)
    check_name(path, content.get("name"))
    return content


def read_named(path: Path, schema: type[Named]) -> Named:
    """Read and type a file of one of the groups `NAMED`.

    Raises:
        ConfigError: it cannot be read, is called otherwise than it calls itself, or has another form.
    """
    return to_typed(read_named_yaml(path), schema, where=str(path))


def read_strategies(names: Iterable[str]) -> list[StrategyConfig]:
    """Read strategies of the project in the working directory.

    Raises:
        ConfigError: what `read_named` refuses, of all of them.
    """
    return gathered(partial(read_named, Path(f"conf/strategy/{name}.yaml"), StrategyConfig) for name in names)


def check_name(path: Path, name: object) -> None:
    """Hold the name in a file to the name of the file.

    Raises:
        ConfigError: it is another, none, or no name: it would lead out of its folder.
    """
    if not re.fullmatch(NAME_PATTERN, path.stem):
        raise ConfigError(f"{path}: expected {NAME_FORM}, found {path.stem!r}; call the file otherwise")
    if name != path.stem:
        found = "none" if name is None else repr(name)
        raise ConfigError(
            f"{path}: expected name: {path.stem}, as the file is called, found {found}; correct it there, or rename it"
        )


def check_choices(composed: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Hold every group that Hydra composed to the file that it chose, of which `choices` has the name without `.yaml`.

    Raises:
        ConfigError: a group is called otherwise than its file, or a choice is no name.
    """
    gathered(partial(_check_choice, composed, group, choices[group]) for group in NAMED if group in choices)


def _check_choice(composed: DictConfig, group: str, choice: str | None) -> None:
    if choice is None or not re.fullmatch(NAME_PATTERN, choice):
        raise ConfigError(f"{group}: expected {NAME_FORM}, found {choice!r}; name a file of conf/{group}/")
    check_name(Path(f"conf/{group}/{choice}.yaml"), OmegaConf.select(composed, f"{group}.name"))
