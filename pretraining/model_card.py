"""One row per backbone in the model card of the weights that are pretrained on images drawn by program."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from backbench.data.arrays.file_formats import write_csv
from backbench.results.records import fingerprint
from backbench.runtime.atomic_files import write_text
from pretraining.config import PretrainConfig
from pretraining.source_training import Outcome, SourceRecord

HEADER = (
    "| backbone | steps | images seen | source val accuracy | wall seconds | sha256 of the weights | recipe |",
    "|---|---|---|---|---|---|---|",
)


def recipe_digest(recipe: PretrainConfig) -> str:
    """Digest a recipe, `pretraining/conf/pretrain/<backbone>.yaml`, into 16 hexadecimal digits."""
    return fingerprint(asdict(recipe))


def card_row(name: str, recipe: PretrainConfig, outcome: Outcome) -> str:
    """Return the table row of one finished run."""
    return (
        f"| {name} | {outcome.steps} | {outcome.images_seen} | {outcome.val_accuracy:.3f} "
        f"| {outcome.wall_seconds:.0f} | `{outcome.sha256}` | `{recipe_digest(recipe)}` |"
    )


def record(card: Path, name: str, recipe: PretrainConfig, outcome: Outcome) -> None:
    """Append a backbone's row to the card, in place of an earlier one of the same backbone."""
    lines = card.read_text(encoding="utf-8").splitlines() if card.is_file() else ["# Model card", "", *HEADER]
    if HEADER[1] not in lines:
        lines += ["", *HEADER]
    kept = [line for line in lines if not line.startswith(f"| {name} |")]
    write_text(card, "\n".join([*kept, card_row(name, recipe, outcome)]) + "\n")


def write_curve(path: Path, curve: Sequence[SourceRecord]) -> None:
    """Write the curve of a run: step, the loss of its batch in nats, accuracy where it was measured."""
    rows = [
        {
            "step": each.step,
            "train_loss": f"{each.train_loss:.4f}",
            "val_accuracy": "" if each.val_accuracy is None else f"{each.val_accuracy:.3f}",
        }
        for each in curve
    ]
    write_csv(path, rows, ("step", "train_loss", "val_accuracy"))
