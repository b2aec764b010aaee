"""Pretrain one slim backbone on images drawn by program: which shape is drawn here?

Every step is a function of the seed and the step's number, so that a run that was killed and resumed ends
in the same bytes as one that was not.
"""

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from backbench import artifacts
from backbench.backbones.graph import build_graph, preprocess
from backbench.backbones.weights import save_weights
from backbench.config import BackboneConfig, PretrainConfig
from backbench.determinism import make_deterministic
from backbench.errors import ConfigError
from backbench.formula import mixture
from backbench.formula.cache import SourceImages, source_digest, source_images
from backbench.progress import Report, reporting
from backbench.training import learning_rate_at
from backbench.unit_scale import has_batch_norm, scale_to_unit

VAL_SEED_OFFSET = 1_000_003
EASY_FRACTION = 0.2
EPOCH_STREAM = 1
STEP_STREAM = 2
LABEL_SMOOTHING = 0.1
CLIP_NORM = 1.0
LOG_EVERY_STEPS = 50
EVALUATION_BATCH = 100


@dataclass(frozen=True)
class Folders:
    """Where the drawn images, the checkpoints and the finished weights live."""

    cache: Path
    state: Path
    weights: Path


@dataclass(frozen=True)
class Outcome:
    """What one finished run leaves: its weights, their digest, and how well it does its source task."""

    weights: Path
    sha256: str
    steps: int
    images_seen: int
    val_accuracy: float
    wall_seconds: float


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
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING)
    model.compile(optimizer=optimizer, loss=loss)
    optimizer.build(model.trainable_variables)
    return model


def _chosen(step: int, num_images: int, config: PretrainConfig) -> np.ndarray:
    """Return the rows of a step, sorted; every epoch is a new permutation of the images in use."""
    rows = np.arange(num_images)
    if step < EASY_FRACTION * config.steps:
        rows = rows[mixture.is_easy(rows)]
    epoch, position = divmod(step, max(1, len(rows) // config.batch_size))
    order = np.random.default_rng((config.seed, EPOCH_STREAM, epoch)).permutation(rows)
    return np.sort(order[position * config.batch_size : (position + 1) * config.batch_size])


def batch_at(step: int, source: SourceImages, config: PretrainConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch of a step: uint8 `(batch, size, size, 3)`, shifted and with channels permuted; labels.

    The first steps see easy images only; without them the loss stays at its start for a long time.
    """
    chosen = _chosen(step, len(source.labels), config)
    rng = np.random.default_rng((config.seed, STEP_STREAM, step))
    images = source.images[chosen]
    reach, side = config.shift_pixels, images.shape[1]
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    shifts = rng.integers(0, 2 * reach + 1, (len(images), 2))
    moved = np.empty_like(images)
    for row, (down, right) in enumerate(shifts):
        moved[row] = padded[row, down : down + side, right : right + side][..., rng.permutation(3)]
    return moved, source.labels[chosen]


def _state_variables(model: keras.Model) -> list[keras.Variable]:
    """List everything a step changes: weights, random generators, optimizer."""
    metrics = {id(variable) for variable in model.metrics_variables}
    optimizer = {id(variable) for variable in model.optimizer.variables}
    own = [v for v in model.variables if id(v) not in metrics and id(v) not in optimizer]
    return [*own, *model.optimizer.variables]


def _save_state(path: Path, model: keras.Model, step: int, seconds: float) -> None:
    arrays = {f"v{index}": np.asarray(variable) for index, variable in enumerate(_state_variables(model))}
    with artifacts.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, step=np.int64(step), seconds=np.float64(seconds), **arrays)


def _load_state(path: Path, model: keras.Model) -> tuple[int, float]:
    """Restore a checkpoint where there is one; returns the next step and the seconds already spent."""
    if not path.is_file():
        return 0, 0.0
    with np.load(path) as state:
        for index, variable in enumerate(_state_variables(model)):
            variable.assign(state[f"v{index}"])
        return int(state["step"]), float(state["seconds"])


def source_accuracy(model: keras.Model, backbone: BackboneConfig, source: SourceImages) -> float:
    """Return the share of source images whose class the model names."""
    correct = 0
    for start in range(0, len(source.labels), EVALUATION_BATCH):
        images = preprocess(backbone, source.images[start : start + EVALUATION_BATCH])
        found = np.argmax(model.predict_on_batch(images), axis=1)
        correct += int((found == source.labels[start : start + EVALUATION_BATCH]).sum())
    return correct / len(source.labels)


def _run_fingerprint(backbone: BackboneConfig, config: PretrainConfig) -> str:
    """Name a run by all that decides its outcome, the checkpoint interval and shipped weights aside."""
    network = {key: value for key, value in asdict(backbone).items() if key != "formula"}
    recipe = {key: value for key, value in asdict(config).items() if key != "checkpoint_every_steps"}
    code = artifacts.file_sha256(Path(__file__))
    return artifacts.fingerprint(network, recipe, source_digest(), code, version("keras"), version("tensorflow"))


def _train(
    model: keras.Model,
    backbone: BackboneConfig,
    config: PretrainConfig,
    source: SourceImages,
    val: SourceImages,
    checkpoint: Path,
    stop_after: int | None,
) -> tuple[int, float]:
    """Run the remaining steps, with checkpoints; returns the next step and the seconds spent in all."""
    first, spent = _load_state(checkpoint, model)
    started = time.monotonic() - spent
    last = config.steps if stop_after is None else min(stop_after, config.steps)
    with reporting(backbone.name, first, config.steps, config.batch_size) as report:
        model.reset_metrics()
        for step in range(first, last):
            images, labels = batch_at(step, source, config)
            model.optimizer.learning_rate.assign(
                learning_rate_at(
                    step, num_steps=config.steps, warmup_steps=config.warmup_steps, peak=config.learning_rate
                )
            )
            targets = np.eye(mixture.num_classes(), dtype=np.float32)[labels]
            loss = float(model.train_on_batch(preprocess(backbone, images), targets))
            done = step + 1
            is_checkpoint = done % config.checkpoint_every_steps == 0 or done == last
            accuracy = source_accuracy(model, backbone, val) if is_checkpoint else None
            if done % LOG_EVERY_STEPS == 0 or is_checkpoint:
                report(Report(done, loss, accuracy))
                # Keras averages the loss until it is reset; the line shows the mean since the last one.
                model.reset_metrics()
            if is_checkpoint:
                _save_state(checkpoint, model, done, time.monotonic() - started)
    return last, time.monotonic() - started


def pretrain(
    backbone: BackboneConfig, config: PretrainConfig, folders: Folders, *, stop_after: int | None = None
) -> Outcome | None:
    """Pretrain one backbone and write its weights; resumes from its checkpoint where there is one.

    Args:
        backbone: The network; its input size must be that of the source images.
        config: The recipe.
        folders: Where images, checkpoints and weights live.
        stop_after: End before this step, as a kill would; used to show that resuming changes nothing.

    Returns:
        What the run leaves, or None where `stop_after` cut it short.

    Raises:
        ConfigError: the images are not of the backbone's input size.
    """
    if config.image_size_pixels != backbone.input_size_pixels:
        raise ConfigError(
            f"conf/pretrain: expected image_size_pixels {backbone.input_size_pixels}, the input of "
            f"{backbone.name}, found {config.image_size_pixels}; correct it"
        )
    size = config.image_size_pixels
    source = source_images(folders.cache, seed=config.seed, count=config.num_images, size=size)
    val_seed = config.seed + VAL_SEED_OFFSET
    val = source_images(folders.cache, seed=val_seed, count=config.num_val_images, size=size)
    make_deterministic(config.seed)
    network = build_graph(backbone)
    if not has_batch_norm(network):
        scale_to_unit(network, preprocess(backbone, source.images[:EVALUATION_BATCH]))
    model = build_classifier(network, config, mixture.num_classes())
    checkpoint = folders.state / backbone.name / _run_fingerprint(backbone, config) / "state.npz"
    steps, seconds = _train(model, backbone, config, source, val, checkpoint, stop_after)
    if steps < config.steps:
        return None
    accuracy = source_accuracy(model, backbone, val)
    path = folders.weights / f"{backbone.name}.weights.h5"
    with artifacts.replacing(path) as temporary:
        save_weights(network, temporary, half=True)
    return Outcome(path, artifacts.file_sha256(path), steps, steps * config.batch_size, accuracy, seconds)
