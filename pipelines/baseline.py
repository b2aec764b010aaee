"""The baseline stage, on what prepare wrote: `python pipelines/baseline.py dataset=photodigits`."""

import checkout  # noqa: F401
from omegaconf import DictConfig

from backbench.stages.baseline import baseline
from backbench.stages.entry import run_stage


def stage(composed: DictConfig) -> str:
    return baseline()


if __name__ == "__main__":
    run_stage(stage, lock_name=lambda composed: "baseline")
