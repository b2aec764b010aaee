"""Arm `keras_tuner`: the model of the textbook arm, searched by KerasTuner over the same learning rates."""

import shutil
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from bench.images import load_images
from bench.learning_rates import learning_rates
from bench.rows import Measurement
from bench.studies import Study
from bench.textbook import FirstStep, build_model, fit_arguments


class GivenRate(keras_tuner.Oracle):
    """Proposes the learning rate that it is given, once."""

    given: float | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.given is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        rate, self.given = self.given, None
        return {"status": TrialStatus.RUNNING, "values": {"learning_rate": rate}}


class TransferModel(keras_tuner.HyperModel):
    """The textbook's model with the learning rate as a hyperparameter."""

    def __init__(self, study: Study, folder: Path) -> None:
        super().__init__()
        self._study, self._folder = study, folder
        self.images = load_images(study, folder)
        self.first_step = FirstStep()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        bounds = self._study.config.strategy.learning_rate
        rate = hp.Float("learning_rate", bounds.low, bounds.high, sampling="log")
        return build_model(self._study, self._folder, self.images, rate)

    def fit(self, hp: object, model: keras.Model, *args: Any, callbacks: list[Any], **kwargs: Any) -> Any:
        # KerasTuner copies the callbacks that `search` is given; one that is added here can be read afterwards.
        return model.fit(*args, callbacks=[*callbacks, self.first_step], **kwargs)


class Tuner(keras_tuner.Tuner):
    """KerasTuner without TensorBoard, which it imports for every trial, and which TensorFlow no longer brings."""

    def _configure_tensorboard_dir(self, callbacks: list[Any], trial: object, execution: int = 0) -> None:
        pass


class KerasTuner:
    """KerasTuner's own loop: it builds, fits, keeps the best epoch's weights in a file, and records every trial."""

    def __init__(self, study: Study, folder: Path) -> None:
        self._study, self._rates = study, learning_rates(study)
        self._hypermodel = TransferModel(study, folder)
        self._oracle = GivenRate(objective="val_loss", seed=study.config.search.seed)
        self._directory = folder / "keras_tuner"
        self._tuner: Tuner | None = None

    def measure(self, trial: str) -> list[Measurement]:
        """Search one more trial; the first one pays for the tuner, as it does in a study."""
        if trial != "0":
            self._opened()
        self._hypermodel.first_step = FirstStep()
        self._oracle.given = rate = self._rates[int(trial)]
        started = time.perf_counter()
        tuner, images = self._opened(), self._hypermodel.images
        tuner.search(**fit_arguments(self._study, images), verbose=0)
        seconds = time.perf_counter() - started
        # It keeps the weights of every trial.
        shutil.rmtree(tuner.get_trial_dir(self._oracle.end_order[-1]))
        return [self._measurement(trial, rate, seconds, started)]

    def _opened(self) -> Tuner:
        if self._tuner is None:
            self._tuner = Tuner(
                oracle=self._oracle, hypermodel=self._hypermodel, directory=str(self._directory), overwrite=True
            )
        return self._tuner

    def _measurement(self, trial: str, rate: float, seconds: float, started: float) -> Measurement:
        tried = self._oracle.trials[self._oracle.end_order[-1]]
        if tried.status != TrialStatus.COMPLETED:
            # KerasTuner records a crash and goes on.
            raise RuntimeError(f"KerasTuner: expected a finished trial, found {tried.status}: {tried.message}")
        assert tried.hyperparameters.values == {"learning_rate": rate}
        assert self._hypermodel.first_step.ended is not None
        return Measurement(
            trial=trial,
            learning_rate=rate,
            seconds=seconds,
            first_step_seconds=self._hypermodel.first_step.ended - started,
            val_loss=float(tried.metrics.get_best_value("val_loss")),
            val_accuracy=float(tried.metrics.get_history("val_accuracy")[0].value[0]),
        )
