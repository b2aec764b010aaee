"""One row per finished measurement, and which rows a new one replaces."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from pretraining.transfer.subsets import Measurement

FORMULA, RANDOM = "formula", "random"
LINEAR_PROBE, NEAREST_NEIGHBOUR, FINE_TUNING = "linear_probe", "nearest_neighbour", "fine_tuning"
METHODS = (LINEAR_PROBE, NEAREST_NEIGHBOUR, FINE_TUNING)


@dataclass(frozen=True, order=True)
class Key:
    """What is measured.

    `weights` is formula or random, `weights_sha256` the digest of the file, or `random`; `protocol` digests the
    images, the network and the method's settings. For random weights, `seed` draws the weights too.
    """

    dataset: str
    method: str
    backbone: str
    weights: str
    per_class: int
    seed: int
    weights_sha256: str
    protocol: str


Rows = dict[Key, Measurement]
COLUMNS = (
    *("dataset", "method", "backbone", "weights", "weights_sha256", "per_class", "seed"),
    *("learning_rate_or_c", "val_accuracy", "test_accuracy", "protocol"),
)


def with_row(rows: Mapping[Key, Measurement], key: Key, measurement: Measurement) -> Rows:
    """Add a measurement; rows of other weights of this backbone, and of this cell under another protocol, go.

    So a table never mixes two versions of the weights.
    """

    def is_kept(old: Key) -> bool:
        if (old.backbone, old.weights) == (key.backbone, key.weights) and old.weights_sha256 != key.weights_sha256:
            return False
        return replace(old, protocol=key.protocol) != key

    return {**{old: value for old, value in rows.items() if is_kept(old)}, key: measurement}


def to_records(rows: Mapping[Key, Measurement]) -> list[dict[str, object]]:
    """Spell rows for a CSV file with `COLUMNS`, sorted, so that the order of the work changes no byte."""
    return [
        {
            **{field.name: getattr(key, field.name) for field in fields(Key)},
            "learning_rate_or_c": "" if value.choice is None else value.choice,
            "val_accuracy": round(value.val_accuracy, 6),
            "test_accuracy": round(value.test_accuracy, 6),
        }
        for key, value in sorted(rows.items(), key=lambda row: row[0])
    ]


def from_records(records: Iterable[Mapping[str, str]]) -> Rows:
    """Read what `to_records` spelled, as `csv.DictReader` yields it."""
    rows: Rows = {}
    for record in records:
        texts = {field.name: record[field.name] for field in fields(Key)}
        numbers = {name: int(texts.pop(name)) for name in ("per_class", "seed")}
        choice = float(record["learning_rate_or_c"]) if record["learning_rate_or_c"] else None
        rows[Key(**texts, **numbers)] = Measurement(  # type: ignore[arg-type]
            choice, float(record["val_accuracy"]), float(record["test_accuracy"])
        )
    return rows


def chosen_rates(rows: Mapping[Key, Measurement], key: Key, seeds: Sequence[int]) -> list[float] | None:
    """Return the learning rate that the first seed chose for this cell, or None where this is the first seed.

    Later seeds take it unseen, so that the choice costs one seed's trials, and both arms have as many.
    """
    first = rows.get(replace(key, seed=seeds[0]))
    if key.seed == seeds[0] or first is None or first.choice is None:
        return None
    return [first.choice]
