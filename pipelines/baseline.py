"""The baseline stage, on what prepare wrote: `python pipelines/baseline.py dataset=photodigits`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.cli.entry import run_stage
from backbench.stages.baseline import baseline


def stage(composed: DictConfig) -> str:
    return baseline()


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "baseline")
