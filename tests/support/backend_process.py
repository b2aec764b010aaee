"""Run in a folder on another Keras backend: `python -m tests.support.backend_process [cells] [features]`.

Prints one line of JSON. A process of its own costs seconds, so that one does both; cells fail where TensorFlow was
imported on the way.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


class WithoutTensorFlow:
    """Finds no module of TensorFlow's, as where it is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in ("tensorflow", "tensorflow_text"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def cells() -> dict[str, Any]:
    """Run embed, and sweep and train of a tiny cell per strategy, from `tiny.weights.h5`."""
    from backbench.backbones.determinism import limit_threads
    from tests.support.backend_cells import NUM_THREADS, run_cells

    limit_threads(NUM_THREADS)
    found = run_cells()
    assert "tensorflow" not in sys.modules, "TensorFlow was imported"
    limit_threads(NUM_THREADS)  # as every stage does again for each model
    return {**found, "num_threads": num_threads(), "refuses_another_number": refuses(NUM_THREADS + 1)}


def refuses(num_threads: int) -> bool:
    """Say whether it is too late for another number of threads."""
    from backbench.backbones.determinism import limit_threads

    try:
        limit_threads(num_threads)
    except RuntimeError:
        return True
    return False


def num_threads() -> int:
    """Count the threads that one operation is shared out to."""
    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        return int(torch.get_num_threads())
    names = ((task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir())
    return sum(name == "tf_XLAEigen" for name in names)


def features() -> dict[str, Any]:
    """Write `<name>.npy` for every `features/<name>.weights.h5`: the features of `images-<size>.npy` there."""
    # KerasHub imports TensorFlow where it is installed, so it is told that it is not. PyTorch asks for it by itself.
    if os.environ["KERAS_BACKEND"] != "torch":
        sys.meta_path.insert(0, WithoutTensorFlow())
    from backbench.backbones.graph import preprocess
    from tests.support.backend_cells import SMALLEST, built_small

    folder = Path("features")
    for name in SMALLEST:
        path = folder / f"{name}.weights.h5"
        if path.is_file():
            config, model = built_small(name)
            model.load_weights(path)
            images = preprocess(config, np.load(folder / f"images-{config.input_size_pixels}.npy"))
            np.save(folder / f"{name}.npy", np.asarray(model.predict_on_batch(images)))
    return {}


def main() -> None:
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    answer: dict[str, Any] = {}
    for action in sys.argv[1:]:
        answer |= {"cells": cells, "features": features}[action]()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
