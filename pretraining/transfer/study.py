"""Measure what the formula weights are worth against random weights; every finished measurement is kept at once."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backbench.config.backbone_config import BackboneConfig
from backbench.results.records import fingerprint
from backbench.runtime.atomic_files import write_text
from backbench.runtime.console import progress_bar
from pretraining.config import TransferConfig
from pretraining.transfer.fine_tuning import recipe_of
from pretraining.transfer.measurements import FINE_TUNING, FORMULA, METHODS, RANDOM, Key, chosen_rates
from pretraining.transfer.start import Results, Start
from pretraining.transfer.subsets import TargetData
from pretraining.transfer.tables import tables, with_tables


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
            recipe = recipe_of(config, start.backbone.name, from_scratch=start.weights == RANDOM)
            images = (data[dataset].digest, list(data[dataset].pool_images.shape[1:]), config.val_per_class)
            protocol = fingerprint(images, _network(start.backbone), asdict(recipe) if is_tuned else None)
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


def _network(backbone: BackboneConfig) -> dict[str, Any]:
    """List what decides a measurement beside the weights; not code, or any edit would throw all of them away."""
    names = ("constructor", "arguments", "preprocessor", "width", "input_size_pixels")
    return {name: getattr(backbone, name) for name in names}


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
    write_text(page, updated)
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
