"""What is shipped: small enough, pinned, with a recipe each, and described by the numbers that were measured."""

import csv

import pytest
from hydra import compose, initialize_config_dir
from pretraining.config import PretrainConfig
from pretraining.model_card import recipe_digest
from pretraining.transfer.measurements import from_records
from pretraining.transfer.tables import tables, with_tables

from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import to_typed
from backbench.data.arrays.file_formats import read_csv
from tests.support.configs import PROJECT, backbone_config

SHIPPED = PROJECT / "assets/weights/formula"
NAMES = sorted(file.stem for file in (PROJECT / "conf/backbone").glob("*_slim.yaml"))
MAX_BYTES = 16_000_000


def test_five_slim_backbones_are_shipped() -> None:
    assert [file.name.removesuffix(".weights.h5") for file in sorted(SHIPPED.glob("*.h5"))] == NAMES
    assert len(NAMES) == 5
    assert sum(file.stat().st_size for file in SHIPPED.glob("*.h5")) <= MAX_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_composes_and_its_card_names_the_pinned_digest(name: str) -> None:
    with initialize_config_dir(str(PROJECT / "pretraining/conf"), version_base=None):
        config = compose("pretrain", overrides=[f"backbone={name}"])
    recipe = to_typed(config.pretrain, PretrainConfig, where="pretraining/conf/pretrain")
    backbone = to_typed(config.backbone, BackboneConfig, where="conf/backbone")
    assert backbone.formula is not None
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    row = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
    cells = [cell.strip(" `") for cell in row.split("|")]
    assert cells[2:4] == [str(recipe.steps), str(recipe.steps * recipe.batch_size)]
    assert cells[6:8] == [backbone.formula.sha256, recipe_digest(recipe)]
    with (SHIPPED / "curves" / f"{name}.csv").open(encoding="utf-8") as file:
        assert int(list(csv.DictReader(file))[-1]["step"]) == recipe.steps


def test_the_page_shows_what_was_measured_of_the_shipped_weights() -> None:
    rows = from_records(read_csv(SHIPPED / "transfer.csv", made_by="transfer"))
    page = (PROJECT / "docs/formula-weights.md").read_text(encoding="utf-8")
    assert with_tables(page, tables(rows)) == page
    measured = {(key.backbone, key.weights_sha256) for key in rows if key.weights == "formula"}
    pinned = {(name, config.formula.sha256) for name in NAMES if (config := backbone_config(name)).formula}
    assert measured == pinned
