"""The boundaries stage: what embed takes of every strategy.

It stands alone so that another learning rate, or number of epochs, in `conf/strategy/` runs no backbone again.
"""

from collections.abc import Sequence
from typing import Any

from backbench.config.strategy_config import StrategyConfig
from backbench.data.arrays.file_formats import read_json, write_json
from backbench.runtime import paths
from backbench.runtime.errors import ArtifactError

MADE_BY = "boundaries"


def boundaries(strategies: Sequence[StrategyConfig]) -> str:
    """Write `work/boundaries.json` and return the line that says what is in it."""
    write_json(paths.BOUNDARIES, _taken(strategies))
    return f"{len(strategies)} strategies: what embed takes of each is in {paths.BOUNDARIES}; next: dvc repro embed"


def require_boundaries(strategies: Sequence[StrategyConfig]) -> None:
    """Hold strategies to what was written of them, by which DVC knows whether embed has to run.

    Raises:
        ArtifactError: the boundaries stage has not run for them.
    """
    if read_json(paths.BOUNDARIES, made_by=MADE_BY) != _taken(strategies):
        raise ArtifactError(
            f"{paths.BOUNDARIES}: expected what conf/strategy says of {', '.join(each.name for each in strategies)}, "
            f"found something else; run `dvc repro {MADE_BY}`"
        )


def _taken(strategies: Sequence[StrategyConfig]) -> dict[str, Any]:
    return {
        strategy.name: {
            "boundaries": list(strategy.boundaries),
            "views": strategy.views,
            "activation_dtype": strategy.activation_dtype,
            "activation_limit_gigabytes": strategy.activation_limit_gigabytes,
        }
        for strategy in sorted(strategies, key=lambda strategy: strategy.name)
    }
