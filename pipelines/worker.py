"""A worker of one cell's sweep: `python pipelines/worker.py workers=elsewhere backbone=… strategy=… worker=3`."""

import os

import checkout  # noqa: F401
import hydra
from omegaconf import DictConfig

from backbench.cli.entry import check_names, kept_in, quiet_libraries, refusing
from backbench.config.config import cell_config, to_typed
from backbench.config.running_config import WorkersConfig
from backbench.runtime import paths
from backbench.runtime.hardware import own_gpu


@hydra.main(version_base=None, config_path="../conf", config_name="worker_entry")
def main(config: DictConfig) -> None:
    quiet_libraries()  # a launcher may have brought this function into a process of its own
    with refusing():
        check_names(config)
        cell = cell_config(config)
        workers = to_typed(config.workers, WorkersConfig, where="conf/workers")
        gpu = own_gpu(int(config.worker), os.environ)
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        with kept_in(paths.worker_log(cell.cell, int(config.worker))):
            # Imported here, so that TensorFlow sees one GPU.
            from backbench.stages.sweep.work import work

            print(work(cell, workers, number=int(config.worker)), flush=True)


if __name__ == "__main__":
    quiet_libraries()
    with refusing():
        main()
