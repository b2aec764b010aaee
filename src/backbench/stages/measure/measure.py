"""The measure stage: latency and throughput of every backbone, on this machine; what is known already is kept.

The numbers lie in `work/costs/`, which is no output: DVC hashes outputs, and no two measurements are equal. Its output
is a list of what was measured, the same on every machine.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backbench.backbones import latency
from backbench.backbones.latency import LATENCY_BATCH, Speed
from backbench.config.backbone_config import BackboneConfig
from backbench.config.config import BenchmarkConfig
from backbench.data.arrays.file_formats import write_json
from backbench.results.records import fingerprint
from backbench.runtime import paths
from backbench.runtime.console import progress_bar
from backbench.runtime.errors import BackbenchError
from backbench.runtime.hardware import machine_name
from backbench.runtime.installation import backend, computing_versions, lacking_for_gpu
from backbench.runtime.known_files import known_json
from backbench.runtime.source_code import PACKAGE, code_fingerprint, named_modules

# By its place: to import it would import Keras.
GRAPH = PACKAGE / "backbones/graph.py"


@dataclass(frozen=True)
class Measurement:
    """How fast a backbone is, and the name of the GPU that it computed on, or `CPU`."""

    speed: Speed
    device: str


Measure = Callable[[BackboneConfig, BenchmarkConfig], Measurement]


def measure(benchmark: BenchmarkConfig, backbones: Sequence[BackboneConfig], measured: Measure) -> str:
    """Write `work/costs/<backbone>.json` for what was not measured here, and return the line that says where to look.

    `measured` builds and measures one backbone; it is called where there is something to measure only.

    Raises:
        BackbenchError: one cannot be built; the others are measured all the same.
    """
    setting = this_setting(benchmark)
    known = {backbone.name: known_json(paths.cost(backbone.name)).get("key") for backbone in backbones}
    missing = [backbone for backbone in backbones if known[backbone.name] != _key(backbone, setting)]
    refused = []
    with progress_bar("measure", len(backbones), "backbones", done=len(backbones) - len(missing)) as advance:
        for backbone in missing:
            try:
                found = measured(backbone, benchmark)
            except BackbenchError as error:
                refused.append(f"{backbone.name}: {error}")
                advance(1, f"{backbone.name} refused")
                continue
            write_json(paths.cost(backbone.name), _content(backbone, setting, found))
            advance(1, f"{backbone.name} {found.speed.latency_p50_ms:.1f} ms")
    if refused:
        raise BackbenchError(" | ".join(refused))
    # What was measured, and nothing of how fast it was or where.
    configured = {backbone.name: fingerprint(asdict(backbone)) for backbone in backbones}
    marker = {"threads": benchmark.threads, "precision": benchmark.precision, "backbones": configured}
    write_json(paths.MEASURED, marker)
    return f"latency and throughput are in {paths.COSTS}, {len(missing)} newly measured; next: dvc repro compare"


def this_setting(benchmark: BenchmarkConfig) -> dict[str, Any]:
    """Return what a speed is a matter of, beside the backbone; known without a library that computes."""
    return {
        "machine": machine_name(),
        "threads": benchmark.threads,
        "precision": benchmark.precision,
        "backend": backend(),
        "versions": computing_versions(),
        "has_gpu_packages": not lacking_for_gpu(),  # the same machine may have become able to use its GPU
        "protocol": code_fingerprint(Path(latency.__file__), GRAPH),  # how graphs are built and speed is measured
    }


def _key(backbone: BackboneConfig, setting: Mapping[str, Any]) -> str:
    constructor = code_fingerprint(*named_modules(backbone.constructor))
    return fingerprint(asdict(backbone), dict(setting), constructor)


def _content(backbone: BackboneConfig, setting: Mapping[str, Any], found: Measurement) -> dict[str, object]:
    return {
        "backbone": backbone.name,
        **asdict(found.speed),
        "latency_batch_size": LATENCY_BATCH,
        "input_size_pixels": backbone.input_size_pixels,
        "device": found.device,
        **setting,
        # Work beside it makes a machine slow; over the number of cores, there was some.
        "load_average": round(os.getloadavg()[0], 2),
        "key": _key(backbone, setting),
    }
