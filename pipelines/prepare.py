"""The prepare stage: `python pipelines/prepare.py dataset=photodigits`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.config import DatasetConfig, to_typed
from backbench.entry import run_stage
from backbench.stages.prepare import prepare


def stage(composed: DictConfig) -> str:
    return prepare(to_typed(composed.dataset, DatasetConfig, where="conf/dataset"))


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "prepare")
