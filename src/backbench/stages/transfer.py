"""Measure what the formula weights are worth against random weights; every finished measurement is kept at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import keras
from filelock import FileLock

from backbench import artifacts
from backbench.artifacts import fingerprint
from backbench.backbones.weights import load_backbone
from backbench.config import BackboneConfig, TransferConfig, WeightsConfig
from backbench.console import progress_bar
from backbench.errors import ConfigError
from backbench.report.transfer_tables import tables, with_tables
from backbench.stages.transfer_data import kept_features
from backbench.transfer.fine_tuning import FineTuner
from backbench.transfer.measurements import (
    COLUMNS,
    FINE_TUNING,
    FORMULA,
    METHODS,
    NEAREST_NEIGHBOUR,
    RANDOM,
    Key,
    Rows,
    chosen_rates,
    from_records,
    to_records,
    with_row,
)
from backbench.transfer.probes import linear_probe, nearest_neighbour
from backbench.transfer.subsets import Measurement, TargetData, few_shot_task

Load = Callable[[str], TargetData]


@dataclass
class Results:
    """The CSV file of the measurements, which several processes add to."""

    path: Path

    def read(self) -> Rows:
        return from_records(artifacts.read_csv(self.path, made_by="transfer")) if self.path.is_file() else {}

    def add(self, key: Key, measurement: Measurement) -> None:
        artifacts.LOCKS.mkdir(parents=True, exist_ok=True)
        with FileLock(artifacts.LOCKS / f"{self.path.name}.lock"):
            rows = with_row(self.read(), key, measurement)
            artifacts.write_csv(self.path, to_records(rows), COLUMNS)


@dataclass
class Start:
    """A backbone with the weights that it starts from; `seed` draws them where they are random, else it is 0."""

    backbone: BackboneConfig
    weights: str
    seed: int
    features: Path
    _tuners: dict[int, FineTuner] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        if self.weights == RANDOM:
            return RANDOM
        if self.backbone.formula is None:
            raise ConfigError(
                f"expected `formula` in conf/backbone/{self.backbone.name}.yaml, found none; name slim backbones"
            )
        return self.backbone.formula.sha256

    def load(self) -> keras.Model:
        return load_backbone(self.backbone, WeightsConfig(name=self.weights, seed=self.seed))

    @cached_property
    def _frozen(self) -> keras.Model:
        return self.load()

    def measure(self, key: Key, config: TransferConfig, data: TargetData, rates: list[float] | None) -> Measurement:
        """Draw the task of one row, and measure it."""
        pool, test = data.pool_images, data.test_images
        if key.method != FINE_TUNING:
            weights = f"random{self.seed}" if self.weights == RANDOM else self.sha256[:16]
            file = self.features / f"{self.backbone.name}-{weights}-{data.name}-{data.digest[:16]}.npy"
            pool, test = kept_features(file, lambda: self._frozen, self.backbone, data)
        task = few_shot_task(
            data, pool, test, per_class=key.per_class, val_per_class=config.val_per_class, seed=key.seed
        )
        if key.method == FINE_TUNING:
            return self._tuner(config, key.per_class).measure(task, seed=key.seed, rates=rates)
        return (nearest_neighbour if key.method == NEAREST_NEIGHBOUR else linear_probe)(task)

    def _tuner(self, config: TransferConfig, per_class: int) -> FineTuner:
        if per_class not in self._tuners:
            # A model of its own: what trains must not be what computes frozen features.
            self._tuners = {
                per_class: FineTuner(
                    self.load(), self.backbone, config.fine_tuning, from_scratch=self.weights == RANDOM
                )
            }
        return self._tuners[per_class]


def starts(config: TransferConfig, backbones: Mapping[str, BackboneConfig]) -> Iterator[tuple[Start, list[int]]]:
    """Yield every start with the seeds that use it: formula weights serve all, random weights one each."""
    folder = Path(config.features)
    for backbone in backbones.values():
        yield Start(backbone, FORMULA, 0, folder), config.seeds
        for seed in config.seeds:
            yield Start(backbone, RANDOM, seed, folder), [seed]


def keys_of(config: TransferConfig, start: Start, seeds: list[int], data: Mapping[str, TargetData]) -> list[Key]:
    """List what is measured from one start: probes first, they take seconds."""
    keys = []
    for method in (name for name in METHODS if name in config.methods):
        is_tuned = method == FINE_TUNING
        for dataset in config.fine_tuning_datasets if is_tuned else config.datasets:
            protocol = fingerprint(data[dataset].digest, config.val_per_class, config.fine_tuning if is_tuned else "")
            for per_class in config.fine_tuning_per_class if is_tuned else config.per_class:
                for seed in seeds:
                    keys.append(
                        Key(
                            dataset=dataset,
                            method=method,
                            backbone=start.backbone.name,
                            weights=start.weights,
                            per_class=per_class,
                            seed=seed,
                            weights_sha256=start.sha256,
                            protocol=protocol,
                        )
                    )
    return keys


def check(config: TransferConfig) -> None:
    """Refuse what cannot be measured.

    Raises:
        ConfigError: a method is unknown, or a list is empty.
    """
    unknown = sorted(set(config.methods) - set(METHODS))
    if unknown:
        raise ConfigError(f"methods: expected some of {', '.join(METHODS)}, found {unknown[0]}; correct it")
    for name in ("backbones", "seeds", "methods"):
        if not getattr(config, name):
            raise ConfigError(f"{name}: expected at least one, found none; name one")


def transfer(config: TransferConfig, backbones: Mapping[str, BackboneConfig], data: Mapping[str, TargetData]) -> str:
    """Measure what the table lacks, bring the page's tables up to date, and return the line that says where to look.

    Raises:
        BackbenchError: weights or images cannot be used, or the configuration is impossible.
    """
    results = Results(Path(config.table))
    if not config.tables_only:
        measure_all(config, results, list(starts(config, backbones)), data)
    page = Path(config.page)
    updated = with_tables(page.read_text(encoding="utf-8"), tables(results.read())) if page.is_file() else None
    if updated is None:
        return f"transfer: measurements are in {results.path}; no tables, for {page} has no place marked for them"
    artifacts.write_text(page, updated)
    return f"transfer: measurements are in {results.path}, tables in {page}"


def measure_all(
    config: TransferConfig, results: Results, all_starts: list[tuple[Start, list[int]]], data: Mapping[str, TargetData]
) -> None:
    """Add every row that the table lacks."""
    known = results.read()
    planned = [(start, keys_of(config, start, seeds, data)) for start, seeds in all_starts]
    total = sum(len(keys) for _, keys in planned)
    done = sum(key in known for _, keys in planned for key in keys)
    with progress_bar("transfer", total, "measurements", done=done) as advance:
        for start, keys in planned:
            for key in keys:
                if key in known:
                    continue
                rates = chosen_rates(known, key, config.seeds)
                known[key] = start.measure(key, config, data[key.dataset], rates)
                results.add(key, known[key])
                advance(1, f"{key.backbone} {key.weights} {key.method} {key.dataset} {key.per_class}")
            start.release()
