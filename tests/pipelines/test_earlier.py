"""The doctor, after a cell has really run: what it knows it by is what the stages wrote."""

from dataclasses import replace
from pathlib import Path

from backbench.cli.doctor.earlier import earlier_choice, has_trained, stored_bytes
from backbench.cli.doctor.images import look_at_images
from tests.support.tiny_cell import cell_config_for, run


def test_a_cell_that_ran_is_known_again(workplace: Path) -> None:
    run("feature_extraction", seeds=[0])
    config = cell_config_for("feature_extraction", seeds=[0])
    _, images = look_at_images(config.dataset, config.backbone.input_size_pixels)
    assert images is not None
    best = earlier_choice(config, images)
    assert best is not None
    assert has_trained(config, best)
    assert not has_trained(cell_config_for("feature_extraction", seeds=[0, 1]), best)
    stored = stored_bytes(config)
    assert stored is not None
    assert stored > 0
    assert earlier_choice(replace(config, backbone=replace(config.backbone, width=0.5)), images) is None
