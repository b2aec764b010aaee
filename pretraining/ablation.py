"""Which part of the source task gives what: `python -m pretraining.ablation` (2 to 5 minutes a variant).

Pretrains one small backbone on the whole mixture, on each part left out, and on glyphs alone, for the same short number
of steps, and measures a linear probe at 20 images a class on the near and the far target, five seeds. Every
finished variant is a row of docs/source-ablation.csv, and is not run again. Two processes may share the variants out:
name them, as in `python -m pretraining.ablation all "without glyphs"`.
"""

import subprocess
import sys
from pathlib import Path

from backbench.backbones.determinism import limit_threads
from backbench.backbones.graph import build_graph
from backbench.data.arrays.file_formats import read_csv, write_csv
from backbench.runtime.locks import only_writer
from pretraining.formula import mixture
from pretraining.transfer.data import features_of, named_backbone, named_data
from pretraining.transfer.intervals import t_interval
from pretraining.transfer.probes import linear_probe
from pretraining.transfer.subsets import few_shot_task

BACKBONE = "mobilenet_v2_slim"
STEPS = 600
SEEDS = range(5)
TARGETS = ("photodigits", "digits", "far_target")
PER_CLASS, VAL_PER_CLASS = 20, 10
TABLE = Path("docs/source-ablation.csv")
WORK = Path("work/ablation")
COLUMNS = ("variant", "parts", "steps", *(f"{target}_{end}" for target in TARGETS for end in ("mean", "half_width")))


def variants() -> dict[str, list[str]]:
    """Name every variant, with the parts of the mixture that it keeps."""
    names = [part.name for part in mixture.PARTS]
    without = {f"without {name}": [other for other in names if other != name] for name in names}
    return {"all": names, **without, "glyphs alone": ["glyphs"]}


def pretrained(variant: str, parts: list[str]) -> Path:
    """Pretrain a variant in a process of its own; returns its weights."""
    folder = WORK / variant.replace(" ", "_")
    overrides = [
        *(f"backbone={BACKBONE}", f"pretrain.steps={STEPS}", f"pretrain.parts=[{','.join(parts)}]"),
        "pretrain.easy_share=0.5",  # of so few steps, about as many easy ones as the shipped run saw
        *(f"folders.weights={folder}", "tracking.experiment=backbench-ablation"),
    ]
    subprocess.run([sys.executable, "-m", "pretraining", *overrides], check=True)
    return folder / f"{BACKBONE}.weights.h5"


def probed(weights: Path) -> dict[str, float]:
    """Return mean and half width of the 95 % interval of test accuracy for every target."""
    backbone = named_backbone(Path("conf"), BACKBONE)
    model = build_graph(backbone)
    model.load_weights(weights)
    row = {}
    for target in TARGETS:
        data = named_data(Path("conf"), target)
        pool, test = (features_of(model, backbone, images) for images in (data.pool_images, data.test_images))
        tasks = [
            few_shot_task(data, pool, test, per_class=PER_CLASS, val_per_class=VAL_PER_CLASS, seed=seed)
            for seed in SEEDS
        ]
        interval = t_interval([linear_probe(task).test_accuracy for task in tasks])
        row[f"{target}_mean"] = round(interval.estimate, 4)
        row[f"{target}_half_width"] = round((interval.high - interval.low) / 2, 4)
    return row


def known_rows() -> list[dict[str, str]]:
    """Read what is measured so far."""
    return read_csv(TABLE, made_by="python -m pretraining.ablation") if TABLE.is_file() else []


def main() -> None:
    """Run what the table lacks, or of it what the command line names."""
    limit_threads(1)
    for variant, parts in variants().items():
        if variant in {row["variant"] for row in known_rows()} or variant not in (sys.argv[1:] or variants()):
            continue
        row = {"variant": variant, "parts": "+".join(parts), "steps": STEPS, **probed(pretrained(variant, parts))}
        with only_writer("source_ablation"):
            write_csv(TABLE, [*known_rows(), row], COLUMNS)
        print(row, flush=True)
    print(f"ablation: {TABLE}; docs/formula-weights.md shows it")


if __name__ == "__main__":
    main()
