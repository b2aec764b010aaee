"""The doctor, after a cell has really run: what it knows it by is what the stages wrote."""

from dataclasses import replace
from pathlib import Path

from backbench.cli.doctor.cost import EarlierRun, earlier_run
from backbench.cli.doctor.images import look_at_images
from tests.support.tiny_cell import cell_config_for, run


def test_a_cell_that_ran_is_known_again(workplace: Path) -> None:
    run("feature_extraction", seeds=[0])
    config = cell_config_for("feature_extraction", seeds=[0])
    _, images = look_at_images(config.dataset, config.backbone.input_size_pixels)
    assert images is not None
    earlier = earlier_run(config, images)
    assert set(earlier.seconds) == {"embed", "sweep", "train"}
    assert earlier.activation_bytes is not None
    assert earlier.activation_bytes > 0
    assert set(earlier_run(cell_config_for("feature_extraction", seeds=[0, 1]), images).seconds) == {"embed", "sweep"}
    assert earlier_run(replace(config, backbone=replace(config.backbone, width=0.5)), images) == EarlierRun()
