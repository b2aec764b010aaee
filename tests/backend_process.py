"""Run as a process of its own on another Keras backend: `python -m tests.backend_process features|cell …`.

Prints one line of JSON, and fails where TensorFlow was imported on the way.
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


def features(folder: Path) -> dict[str, Any]:
    """Write `<name>.npy` for every `<name>.weights.h5` in the folder: the features of `images-<size>.npy`."""
    # KerasHub imports TensorFlow where it is installed, so it is told that it is not. PyTorch asks for it by itself.
    if os.environ["KERAS_BACKEND"] != "torch":
        sys.meta_path.insert(0, WithoutTensorFlow())
    from backbench.backbones.graph import preprocess
    from tests.test_backends import SMALLEST, built_small

    for name in SMALLEST:
        path = folder / f"{name}.weights.h5"
        if path.is_file():
            config, model = built_small(name)
            model.load_weights(path)
            images = preprocess(config, np.load(folder / f"images-{config.input_size_pixels}.npy"))
            np.save(folder / f"{name}.npy", np.asarray(model.predict_on_batch(images)))
    return {}


def cell(strategy: str, weights: str, sha256: str) -> dict[str, Any]:
    """Run embed, sweep and train of a tiny cell in the working folder."""
    from tests.test_backends import run_cell

    return run_cell(strategy, Path(weights), sha256)


def main() -> None:
    action, *arguments = sys.argv[1:]
    answer = features(Path(arguments[0])) if action == "features" else cell(*arguments)
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    assert action == "features" or "tensorflow" not in sys.modules, "TensorFlow was imported"
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
