"""Pretrain one slim backbone on images drawn by program: which shape is drawn here?

Every step is a function of the recipe and the step's number, so that a run that was killed and resumed ends
in the same bytes as one that was not.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from backbench.adaptation.fit_state import model_arrays, restore_model
from backbench.adaptation.schedule import learning_rate_at
from backbench.backbones.determinism import make_deterministic
from backbench.backbones.graph import build_graph, preprocess
from backbench.backbones.weights import save_weights
from backbench.config.backbone_config import BackboneConfig
from backbench.data.arrays.augment import resized
from backbench.data.arrays.file_formats import write_arrays
from backbench.features.activations import EVALUATION_BATCH_SIZE, outputs
from backbench.results.records import fingerprint
from backbench.runtime.atomic_files import replacing
from backbench.runtime.console import progress_bar
from backbench.runtime.digests import file_sha256
from backbench.runtime.installation import deciding_versions
from backbench.runtime.source_code import code_fingerprint, imported_modules, named_modules
from pretraining.config import PretrainConfig
from pretraining.formula import mixture
from pretraining.formula.cache import SourceImages, source_images
from pretraining.source_batches import SourceBatches
from pretraining.unit_scale import has_batch_norm, scale_to_unit

OWN = Path(__file__).parent
VAL_SEED_OFFSET = 1_000_003
CLIP_NORM = 1.0
LOG_EVERY_STEPS = 50


@dataclass(frozen=True)
class Folders:
    """Where the drawn images, the checkpoints and the finished weights live."""

    cache: Path
    state: Path
    weights: Path


@dataclass(frozen=True)
class SourceRecord:
    """Steps done, the loss of the last step's batch in nats, and source val accuracy where it was measured."""

    step: int
    train_loss: float
    val_accuracy: float | None


Watch = Callable[[Sequence[SourceRecord]], object]
"""Told the whole curve so far, at every checkpoint."""


@dataclass(frozen=True)
class Outcome:
    """What one finished run leaves: its weights, their digest, its curve, and how well it does its source task."""

    weights: Path
    sha256: str
    steps: int
    images_seen: int
    val_accuracy: float
    wall_seconds: float
    curve: tuple[SourceRecord, ...] = ()


def build_classifier(backbone: keras.Model, config: PretrainConfig, num_classes: int) -> keras.Model:
    """Put a linear softmax head on a backbone and compile it; sets every BatchNormalization's momentum.

    The momentum has to suit the number of steps: with 0.999 a short run is evaluated with statistics
    that still remember the initial weights.
    """
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = config.batch_norm_momentum
    logits = keras.layers.Dense(num_classes, name="source_logits")(backbone.output)
    model = keras.Model(backbone.input, logits)
    optimizer = keras.optimizers.AdamW(
        config.learning_rate, weight_decay=config.weight_decay, global_clipnorm=CLIP_NORM
    )
    # Biases and normalization parameters have no scale to keep small.
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) == 1])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing)
    model.compile(optimizer=optimizer, loss=loss)
    optimizer.build(model.trainable_variables)
    return model


@dataclass
class _Run:
    """A run under way: what a checkpoint holds, and how it is kept."""

    model: keras.Model
    checkpoint: Path
    step: int = 0
    seconds: float = 0.0
    curve: tuple[SourceRecord, ...] = ()

    def save(self) -> None:
        rows = [(r.step, r.train_loss, np.nan if r.val_accuracy is None else r.val_accuracy) for r in self.curve]
        own = {"step": np.array(self.step), "seconds": np.array(self.seconds), "curve": np.array(rows)}
        write_arrays(self.checkpoint, {**model_arrays(self.model), **own})

    def restore(self) -> None:
        if not self.checkpoint.is_file():
            return
        with np.load(self.checkpoint, allow_pickle=False) as state:
            restore_model(self.model, state)
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.curve = tuple(
                SourceRecord(int(step), float(loss), None if np.isnan(accuracy) else float(accuracy))
                for step, loss, accuracy in state["curve"]
            )


def source_accuracy(model: keras.Model, backbone: BackboneConfig, source: SourceImages) -> float:
    """Return the share of source images whose class the model names."""
    logits = outputs(model, source.images, lambda images: _prepared(backbone, images))
    return float((logits.argmax(axis=1) == source.labels).mean())


def _prepared(backbone: BackboneConfig, images: np.ndarray) -> np.ndarray:
    return np.asarray(preprocess(backbone, resized(images, backbone.input_size_pixels)))


def run_fingerprint(backbone: BackboneConfig, config: PretrainConfig) -> str:
    """Name a run by all that decides its outcome, the checkpoint interval and shipped weights aside.

    Returns:
        16 hexadecimal digits.
    """
    network = {key: value for key, value in asdict(backbone).items() if key != "formula"}
    recipe = {key: value for key, value in asdict(config).items() if key != "checkpoint_every_steps"}
    own = imported_modules(Path(__file__), OWN)
    code = code_fingerprint(*own, *named_modules(backbone.constructor, backbone.preprocessor))
    return fingerprint(network, recipe, code, keras.backend.backend(), deciding_versions())


def _train(
    run: _Run,
    backbone: BackboneConfig,
    config: PretrainConfig,
    batches: SourceBatches,
    val: SourceImages,
    watch: Watch,
    last: int,
) -> None:
    """Run the remaining steps before `last`, with checkpoints."""
    started = time.monotonic() - run.seconds
    with progress_bar(f"pretrain {backbone.name}", config.steps, "steps", done=run.step) as advance:
        for step in range(run.step, last):
            loss = _step(run.model, backbone, config, batches, step)
            done = step + 1
            is_checkpoint = done % config.checkpoint_every_steps == 0 or done == last
            if done % LOG_EVERY_STEPS == 0 or is_checkpoint:
                accuracy = source_accuracy(run.model, backbone, val) if is_checkpoint else None
                run.curve = (*run.curve, SourceRecord(done, loss, accuracy))
            if is_checkpoint:
                run.step, run.seconds = done, time.monotonic() - started
                run.save()
                watch(run.curve)
            advance(1, _shown(run.curve))


def _step(
    model: keras.Model, backbone: BackboneConfig, config: PretrainConfig, batches: SourceBatches, step: int
) -> float:
    images, labels = batches.at(step)
    model.optimizer.learning_rate.assign(
        learning_rate_at(step, num_steps=config.steps, warmup_steps=config.warmup_steps, peak=config.learning_rate)
    )
    targets = np.eye(mixture.num_classes(), dtype=np.float32)[labels]
    return float(model.train_on_batch(_prepared(backbone, images), targets))


def _shown(curve: Sequence[SourceRecord]) -> str:
    """Say the last loss and the last accuracy of a curve."""
    accuracies = [record.val_accuracy for record in curve if record.val_accuracy is not None]
    loss = f"loss {curve[-1].train_loss:.3f}" if curve else ""
    return loss + (f"  source val accuracy {accuracies[-1]:.3f}" if accuracies else "")


def pretrain(
    backbone: BackboneConfig,
    config: PretrainConfig,
    folders: Folders,
    *,
    watch: Watch = lambda curve: None,
    stop_after: int | None = None,
) -> Outcome | None:
    """Pretrain one backbone and write its weights; resumes from its checkpoint where there is one.

    Args:
        backbone: The network; the drawn images are resized to its input size.
        config: The recipe.
        folders: Where images, checkpoints and weights live.
        watch: Told the whole curve so far, at every checkpoint.
        stop_after: End before this step, as a kill would; used to show that resuming changes nothing.

    Returns:
        What the run leaves, or None where `stop_after` cut it short.

    Raises:
        ConfigError: the recipe names an unknown part of the mixture, or too few images.
    """
    size = config.image_size_pixels
    source = source_images(folders.cache, seed=config.seed, count=config.num_images, size=size)
    val_seed = config.seed + VAL_SEED_OFFSET
    val = source_images(folders.cache, seed=val_seed, count=config.num_val_images, size=size)
    batches = SourceBatches(source, config)
    make_deterministic(config.seed)
    network = build_graph(backbone)
    if not has_batch_norm(network):
        scale_to_unit(network, _prepared(backbone, source.images[:EVALUATION_BATCH_SIZE]))
    model = build_classifier(network, config, mixture.num_classes())
    run = _Run(model, folders.state / backbone.name / run_fingerprint(backbone, config) / "state.npz")
    run.restore()
    last = config.steps if stop_after is None else min(stop_after, config.steps)
    _train(run, backbone, config, batches, val, watch, last)
    if run.step < config.steps:
        return None
    path = folders.weights / f"{backbone.name}.weights.h5"
    with replacing(path) as temporary:
        save_weights(network, temporary, half=True)
    return Outcome(
        path,
        file_sha256(path),
        config.steps,
        config.steps * config.batch_size,
        source_accuracy(model, backbone, val),
        run.seconds,
        run.curve,
    )
