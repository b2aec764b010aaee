"""The prepare stage: `python pipelines/prepare.py dataset=photodigits`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.config.config import cell_config
from backbench.stages.prepare import prepare


def stage(composed: DictConfig) -> str:
    # The whole configuration: a mistake in it is told before hours of decoding, not behind them.
    return prepare(cell_config(composed).dataset)


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "prepare")
