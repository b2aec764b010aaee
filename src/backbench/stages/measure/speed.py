"""Build one backbone and measure how fast it is: what the measure stage leaves to a library that computes."""

import os

import keras

from backbench.backbones.determinism import computes_on_gpu, computing_in, grow_gpu_memory, limit_threads
from backbench.backbones.graph import build_graph
from backbench.backbones.latency import Repetitions, speed_of
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import BenchmarkConfig
from backbench.runtime.hardware import gpus, visible_gpus
from backbench.stages.measure.measure import Measurement

CPU = "CPU"


def measured(
    backbone: BackboneConfig, benchmark: BenchmarkConfig, repetitions: Repetitions | None = None
) -> Measurement:
    """Measure a backbone with drawn weights, for their values take no time; the last one is forgotten first.

    Raises:
        ConfigError: the backbone cannot be built as its configuration says.
    """
    limit_threads(benchmark.threads)
    if benchmark.memory_growth:
        grow_gpu_memory()
    keras.utils.clear_session()
    with computing_in(benchmark.precision):
        model = build_graph(backbone)
    return Measurement(speed_of(model.predict_on_batch, backbone.input_size_pixels, repetitions), device())


def device() -> str:
    """Name what the backend computes on: the first GPU that the system names, or the CPU."""
    if not computes_on_gpu():
        return CPU
    return next((gpu.name for gpu in visible_gpus(gpus(), os.environ).values()), "GPU")
