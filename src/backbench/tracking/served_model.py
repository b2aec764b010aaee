"""What MLflow runs to load a cell's model: this very file lies in the logged model, so that nothing is pickled.

MLflow runs it when it saves a model too, where Keras is not to be imported; hence the import within.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # MLflow carries no types
    """Probabilities by MLflow's `predict`."""

    def load_context(self, context: Any) -> None:
        from backbench.export.exported_model import ExportedModel

        self._model = ExportedModel(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Map uint8 RGB images `(n, height, width, 3)` to float32 probabilities `(n, num_classes)`."""
        del context, params
        return self._model.probabilities(model_input)


mlflow.models.set_model(ServedModel())
