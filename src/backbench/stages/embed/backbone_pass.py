"""The backbone itself, through which ranges of images pass. Whoever imports this module imports a network.

What is given and taken is plain, so that tasks may run in other processes, and on machines with the same file system.
"""

import errno
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from backbench.backbones.determinism import computing_in, make_deterministic
from backbench.backbones.weight_files import file_sha256_of
from backbench.backbones.weights import load_backbone, weights_digest
from backbench.config.config import CellConfig
from backbench.config.strategy_config import INPUT
from backbench.data.arrays.array_file import GrowingArrayFile
from backbench.data.arrays.file_formats import write_json
from backbench.features.activation_store import prepared_images
from backbench.features.activations import PreparedImages, padded_indices, predicted
from backbench.features.freezing import cut, resolve_boundary, tapped_prefix
from backbench.results.compute import NOTHING, Compute, Stopwatch
from backbench.runtime.atomic_files import sync
from backbench.runtime.known_files import known_json
from backbench.stages.embed.pass_plan import PART, Description, Part, PassPlan, Place, Range, part_of

# What a file system answers where a folder of that name is there, with something in it.
IS_THERE = (errno.EEXIST, errno.ENOTEMPTY)


class BackbonePass:
    """One backbone with its weights, opened once, for the cells of all strategies."""

    def __init__(self, configs: Sequence[CellConfig]) -> None:
        """Build the graph and load the weights.

        Raises:
            BackbenchError: the weights cannot be used.
        """
        stopwatch = Stopwatch()
        self._configs, self._one = configs, configs[0]
        benchmark, weights = self._one.benchmark, self._one.weights
        make_deterministic(weights.seed, num_threads=benchmark.threads, memory_growth=benchmark.memory_growth)
        with computing_in(benchmark.precision):
            self._backbone = load_backbone(self._one.backbone, weights)
        self._prefixes: dict[tuple[str, ...], keras.Model] = {}
        self._images: dict[str, PreparedImages] = {}
        self._opening = stopwatch.lap()

    def describe(self) -> Description:
        """Say which weights these are, and where the boundaries of every strategy lie.

        Raises:
            BoundaryError: the backbone has no such boundary.
        """
        stopwatch, one = Stopwatch(), self._one
        layers = {
            config.strategy.name: {name: self._layer(name) for name in config.strategy.boundaries}
            for config in self._configs
        }
        distinct = dict.fromkeys(layer for of_strategy in layers.values() for layer in of_strategy.values())
        places = {layer: self._place(layer) for layer in distinct}
        digest, file = weights_digest(self._backbone), file_sha256_of(one.backbone, one.weights)
        return Description(digest, file, layers, places, self._took(stopwatch))

    def embed_range(self, plan: PassPlan, images: Range) -> Part:
        """Run a range of images up to the highest boundary that is stored of it; write its part, whole or not at all.

        Every batch is full, so batches and bytes are those of one process that runs all ranges. A part that is there
        is not made again; of two processes that make the same, one does so in vain.
        """
        target = plan.part(images)
        if found := known_json(target / PART):
            return part_of(found)
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=target.parent, ignore_cleanup_errors=True) as folder:
            part = self._write_rows(plan, images, Path(folder))
            write_json(Path(folder, PART), asdict(part))
            for path in (*Path(folder).rglob("*"), Path(folder)):
                sync(path)
            try:
                Path(folder).rename(target)
            except OSError as error:
                if error.errno not in IS_THERE:
                    raise
        sync(target.parent)
        return part

    def _write_rows(self, plan: PassPlan, images: Range, folder: Path) -> Part:
        stopwatch, stores = Stopwatch(), plan.stores_of(images)
        num_rows = images.last - images.first
        files = {
            (strategy, boundary): GrowingArrayFile(
                folder / strategy / f"{boundary}.npy", (num_rows, *shape), store.dtype
            )
            for strategy, store in stores.items()
            for boundary, shape in store.shapes.items()
        }
        for file in files.values():
            file.keep(0)
        rounding = {f"{strategy}/{boundary}": (0.0, 0.0) for strategy, boundary in files}
        here = {boundary: self._layer(plan.words[boundary]) for _, boundary in files}
        if images.split not in self._images:
            self._images[images.split] = prepared_images(self._one, images.split)
        source = self._images[images.split]
        for num_real, examples in padded_indices(images.first, images.last, plan.batch_size):
            values = self._activations(tuple(here.values()), source.take(np.full(len(examples), images.view), examples))
            for (strategy, boundary), file in files.items():
                rows = values[here[boundary]][:num_real]
                with np.errstate(over="ignore", invalid="ignore"):
                    rounded = rows.astype(stores[strategy].dtype)
                    found = np.abs(rounded.astype("float32") - rows).max(), np.abs(rows).max()
                file.append(rounded)
                largest = np.maximum(rounding[f"{strategy}/{boundary}"], found)  # what is no number stays none
                rounding[f"{strategy}/{boundary}"] = (float(largest[0]), float(largest[1]))
        return Part(num_rows, rounding, self._took(stopwatch))

    def _activations(self, layers: tuple[str, ...], batch: np.ndarray) -> dict[str, np.ndarray]:
        """Pass a batch once; return float32 activations at layers of this process's graph."""
        computed = tuple(layer for layer in layers if layer != INPUT)
        values = {INPUT: batch}
        if computed:
            if computed not in self._prefixes:
                self._prefixes[computed] = tapped_prefix(self._backbone, computed)
            # Keras unwraps a list of one output.
            outputs = keras.tree.flatten(predicted(self._prefixes[computed], batch))
            values |= dict(zip(computed, outputs, strict=True))
        return values

    def _layer(self, word: str) -> str:
        return resolve_boundary(self._backbone, self._one.backbone, word)

    def _place(self, layer: str) -> Place:
        halves = cut(self._backbone, layer)
        shape = self._backbone.input_shape if halves.prefix is None else halves.prefix.output_shape
        return Place(tuple(shape[1:]), _num_parameters(halves.prefix), _num_parameters(halves.suffix))

    def _took(self, stopwatch: Stopwatch) -> Compute:
        """Return what a task took, and once what opening took."""
        took, self._opening = self._opening + stopwatch.lap(), NOTHING
        return took


def _num_parameters(model: keras.Model | None) -> int:
    return 0 if model is None else int(model.count_params())
