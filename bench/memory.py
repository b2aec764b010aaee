"""How much memory embedding and training take at their peak: `python bench/memory.py` (3 minutes on 2 cores).

Passes 1,000 and 20,000 images of noise, 64 pixels a side, through mobilenet_v2_slim up to its first block, twice each
training image, and then trains 300 steps of 32 rows drawn from what was stored. Each runs in a process of its own,
whose peak the kernel tells (VmHWM: what is mapped and was touched counts). Exits with 1 where the larger number of
images takes over a tenth more. Expect: 1.00 for both.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from backbench.config.backbone_config import BackboneConfig, ShippedWeights, WeightsConfig
from backbench.config.config import BenchmarkConfig, CellConfig, to_typed
from backbench.config.config_files import read_named_yaml
from backbench.config.dataset_config import NO_AUGMENTATION, DatasetConfig
from backbench.config.running_config import TrackingConfig
from backbench.config.search_config import SearchConfig
from backbench.config.strategy_config import StrategyConfig
from backbench.data.arrays.array_file import GrowingArrayFile
from backbench.data.arrays.dataset import DESCRIPTION, images_file, labels_file
from backbench.data.arrays.file_formats import write_array, write_json
from backbench.runtime import paths

PROJECT = Path(__file__).resolve().parents[1]
BOUNDARY = "expanded_conv_project_BN"
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
NUM_CLASSES, CHUNK, STEPS, BATCH_SIZE = 10, 500, 300, 32
LARGEST_RATIO = 1.1


def main() -> None:
    """Print a row for each stage: both peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs=2, default=[1000, 20000])
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--child", choices=STAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        STAGES[arguments.child](cell_config(arguments.pixels))
        print(peak_megabytes())
        return
    small, large = arguments.images
    peaks = {number: measured(number, arguments.pixels, arguments.stages) for number in (small, large)}
    table = Table("stage", f"{small:,} images", f"{large:,} images", "ratio")
    ratios = {stage: peaks[large][stage] / peaks[small][stage] for stage in arguments.stages}
    for stage, ratio in ratios.items():
        table.add_row(stage, f"{peaks[small][stage]:.0f} MB", f"{peaks[large][stage]:.0f} MB", f"{ratio:.3f}")
    Console().print(table)
    sys.exit(max(ratios.values()) > LARGEST_RATIO)


def measured(num_images: int, pixels: int, stages: list[str]) -> dict[str, float]:
    """Return the peak of each stage in MB; every stage needs those before it."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        write_noise(Path(folder) / paths.DATASET, num_images, pixels)
        for stage in stages:
            command = [sys.executable, __file__, "--pixels", str(pixels), "--child", stage]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            peaks[stage] = float(done.stdout.splitlines()[-1])
    return peaks


def write_noise(folder: Path, num_images: int, pixels: int) -> None:
    """Write what prepare would have written."""
    random = np.random.default_rng(0)
    for split, share in SHARES.items():
        number = int(share * num_images)
        file = GrowingArrayFile(images_file(folder, split), (number, pixels, pixels, 3), "uint8")
        file.keep(0)
        for first in range(0, number, CHUNK):
            rows = min(CHUNK, number - first)
            file.append(random.integers(0, 256, (rows, pixels, pixels, 3), dtype=np.uint8))
        write_array(labels_file(folder, split), random.integers(NUM_CLASSES, size=number, dtype=np.int32))
    classes = [str(label) for label in range(NUM_CLASSES)]
    description = {"name": "noise", "classes": classes, "digest": "noise", "sha256": {}, "image_size_pixels": pixels}
    description |= {"depth": None, "sides": {str(pixels): num_images}}
    write_json(folder / DESCRIPTION, description)


def cell_config(pixels: int) -> CellConfig:
    """Return the configuration of the one cell that is measured."""

    def named(group: str, name: str) -> dict[str, object]:
        return read_named_yaml(PROJECT / f"conf/{group}/{name}.yaml")

    backbone = to_typed(named("backbone", "mobilenet_v2_slim"), BackboneConfig, where="backbone")
    assert backbone.formula is not None
    formula = ShippedWeights(file=str(PROJECT / backbone.formula.file), sha256=backbone.formula.sha256, licence="MIT")
    changes = {"boundary": BOUNDARY, "views": 2}
    return CellConfig(
        benchmark=BenchmarkConfig(
            dataset="noise",
            weights="formula",
            backbones=["mobilenet_v2_slim"],
            strategies=["fine_tuning"],
            search="quasi_random",
            seeds=[0],
            threads=0,
            precision="float32",
            xla=False,
        ),
        dataset=DatasetConfig(
            name="noise",
            path="data",
            image_size_pixels=pixels,
            resize="crop",
            depth_bits=None,
            min_size_pixels=8,
            max_image_pixels=50_000_000,
            val_fraction=0.2,
            test_fraction=0.2,
            split_seed=0,
            augmentation=replace(NO_AUGMENTATION, shift=0.1, brightness=0.1),
        ),
        weights=WeightsConfig(seed=0, name="formula"),
        backbone=replace(backbone, formula=formula),
        strategy=to_typed(named("strategy", "fine_tuning") | changes, StrategyConfig, where="strategy"),
        search=to_typed(named("search", "quasi_random"), SearchConfig, where="search"),
        tracking=TrackingConfig(uri="sqlite:///mlflow.db", experiment="bench"),
    )


def embed_cell(config: CellConfig) -> None:
    """Run the embed stage."""
    from backbench.stages.embed.embed import embed

    print(embed([config]))


def train_cell(config: CellConfig) -> None:
    """Train on random rows of what is stored."""
    import keras

    from backbench.adaptation.training_inputs import TrainingInputs

    inputs = TrainingInputs.of(config)
    train, model = inputs.activations("train"), inputs.trainable_part().model
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    random = np.random.default_rng(0)
    for _ in range(STEPS):
        examples = random.integers(len(train.labels), size=BATCH_SIZE)
        taken = train.take(random.integers(train.num_views, size=BATCH_SIZE), examples)
        model.train_on_batch(taken, train.labels[examples])


def peak_megabytes() -> float:
    """Return this process's peak so far, as the kernel counts it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1000


STAGES = {"embed": embed_cell, "train": train_cell}

if __name__ == "__main__":
    main()
