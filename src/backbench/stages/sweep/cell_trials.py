"""How the trials of a cell's study are run: fits on activations of train and val only."""

from collections.abc import Sequence
from functools import cache, lru_cache, partial

from backbench.adaptation.checkpoints import Checkpoints
from backbench.adaptation.schedule import Fit, Hyperparameters, Weights
from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training_inputs import TrainingInputs
from backbench.features.activations import ActivationSource
from backbench.results.records import COMPLETE, PRUNED, TrialRecord
from backbench.search.search import Proposal
from backbench.stages.sweep.study import ShouldStop, study_of


class CellTrials:
    """Runs the trials of one cell; a boundary's model and data are made when its first trial comes.

    Folds come one after another, so only the last one's data is held. They share the model, which is traced once.
    """

    def __init__(self, inputs: TrainingInputs) -> None:
        self._inputs = inputs
        self._seed = inputs.config.search.seed
        self._studies = {fold: study_of(inputs, fold) for fold in inputs.dataset.each_fold}
        self._model_of = cache(inputs.trainable_part)
        self._of_boundary = lru_cache(maxsize=len(inputs.boundaries))(self._opened)

    def _opened(
        self, boundary: str, fold: int | None
    ) -> tuple[TrainablePart, ActivationSource, ActivationSource, Weights]:
        train, val = (self._inputs.activations(split, boundary, fold=fold) for split in ("train", "val"))
        trainable_part = self._model_of(boundary)
        initial = trainable_part.initial_values(train, val, seed=self._seed)
        trainable_part.forget_features()  # of every boundary that is searched they would be held to the end
        return trainable_part, train, val, initial

    def run_batch(
        self, batch: Sequence[Proposal], earlier: Sequence[TrialRecord], fold: int | None = None
    ) -> list[TrialRecord]:
        """Run a batch of proposals and keep it, unless it is known; `earlier` is every trial of the rounds before.

        All of them are of one fold.

        Raises:
            Interrupted: this process was asked to leave; the epochs that are done lie in checkpoints.
        """
        return self._studies[fold].run_batch(partial(self.fit, fold=fold), batch, earlier)

    def fit(self, batch: Sequence[Proposal], should_stop: ShouldStop, fold: int | None = None) -> list[TrialRecord]:
        """Fit a batch, the trials of one boundary together, and return them in the same order."""
        fits: dict[int, Fit] = {}
        checkpoints = Checkpoints(self._studies[fold].folder / "checkpoints")
        for boundary in dict.fromkeys(proposal.boundary for proposal in batch):
            places = [place for place, proposal in enumerate(batch) if proposal.boundary == boundary]
            trainable_part, train, val, initial = self._of_boundary(boundary, fold)
            found = trainable_part.fit(
                [Hyperparameters(**batch[place].parameters, seed=self._seed) for place in places],
                [initial] * len(places),
                train,
                val,
                checkpoints=checkpoints,
                should_stop=lambda _, history: should_stop(history),
            )
            fits |= zip(places, found, strict=True)
        return [_trial(proposal, fits[place]) for place, proposal in enumerate(batch)]


def _trial(proposal: Proposal, fit: Fit) -> TrialRecord:
    return TrialRecord(
        index=proposal.position,
        boundary=proposal.boundary,
        learning_rate=proposal.parameters["learning_rate"],
        weight_decay=proposal.parameters["weight_decay"],
        val_loss=fit.best.val_loss,
        val_accuracy=fit.best.val_accuracy,
        epochs=len(fit.history),
        state=PRUNED if fit.pruned else COMPLETE,
        history=fit.history,
        reason=fit.reason,
        accumulation_steps=fit.accumulation_steps,
    )
