"""Measure whether the formula weights transfer better than random ones: `python -m pretraining.transfer seeds=[0]`."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from backbench.cli.entry import kept_in, quiet_libraries, refusing
from backbench.config.config import to_typed
from backbench.runtime import paths
from pretraining.config import TransferConfig


@hydra.main(version_base=None, config_path=str(Path(__file__).parents[1] / "conf"), config_name="transfer")
def main(config: DictConfig) -> None:
    with refusing():
        typed = to_typed(config, TransferConfig, where="pretraining/conf/transfer.yaml")
        with kept_in(paths.log("transfer")):
            print(measured(typed), flush=True)


def measured(typed: TransferConfig) -> str:
    from backbench.backbones.determinism import limit_threads, make_deterministic
    from pretraining.transfer.data import named_backbone, named_data
    from pretraining.transfer.study import transfer

    limit_threads(typed.num_threads)
    make_deterministic(0)
    conf = Path(__file__).parents[2] / "conf"
    names = [] if typed.tables_only else [*typed.datasets, *typed.fine_tuning_datasets]
    data = {name: named_data(conf, name) for name in dict.fromkeys(names)}
    backbones = {name: named_backbone(conf, name) for name in typed.backbones}
    return transfer(typed, backbones, data)


if __name__ == "__main__":
    quiet_libraries()
    with refusing():
        main()
