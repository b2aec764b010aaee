"""Whether a fine-tuning step fits into memory: said before the first one, not by what the backend dies of."""

import math
import shutil
import subprocess
from pathlib import Path

import keras

from backbench.backbones.cost import num_activations
from backbench.config import StrategyConfig
from backbench.errors import MemoryLimitError

GIGABYTE = 10**9
BYTES_PER_VALUE = 4
COPIES_OF_TRAINED = 4  # the value, its gradient, and AdamW's two moments
MEMINFO = Path("/proc/meminfo")


def training_bytes(model: keras.Model, batch_size: int) -> int:
    """Estimate what a training step holds: weights, gradients, moments, and the outputs of every layer for a batch.

    Args:
        model: What trains; weights that do not train count once.
        batch_size: How many examples pass at once: a part of a batch, where gradients are accumulated.
    """
    trained = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    frozen = sum(math.prod(weight.shape) for weight in model.non_trainable_variables)
    width = 2 if keras.tree.flatten(model.outputs)[0].dtype in ("bfloat16", "float16") else BYTES_PER_VALUE
    return BYTES_PER_VALUE * (COPIES_OF_TRAINED * trained + frozen) + width * batch_size * num_activations(model)


def available_bytes() -> int:
    """Return the memory of the GPU that the backend computes on, or what this machine can still give."""
    if _computes_on_gpu() and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        return min(int(line) for line in listed.split()) * 2**20
    lines = dict(line.split(":") for line in MEMINFO.read_text(encoding="utf-8").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _computes_on_gpu() -> bool:
    try:
        # Keras has no such list for PyTorch.
        return keras.backend.backend() != "torch" and bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # what JAX raises where there is none
        return False


def require_memory(model: keras.Model, strategy: StrategyConfig, available: int) -> None:
    """Refuse a fine-tuning step that cannot fit.

    Raises:
        MemoryLimitError: the estimate is over what is available.
    """
    parts = strategy.accumulation_steps
    needed = training_bytes(model, strategy.batch_size // parts)
    if needed > available:
        raise MemoryLimitError(
            f"expected a training step of {strategy.batch_size // parts} images to fit into "
            f"{available / GIGABYTE:.1f} GB, found that it needs about {needed / GIGABYTE:.1f} GB; "
            f"raise accumulation_steps in conf/strategy/{strategy.name}.yaml, move its boundary up, or take a smaller "
            "backbone"
        )
