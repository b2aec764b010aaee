"""How the trials of a cell's study are run: fits on activations of train and val only."""

from collections.abc import Sequence
from functools import cache

from backbench.adaptation.interruption import Pause
from backbench.adaptation.schedule import Fit, Hyperparameters, Weights
from backbench.adaptation.strategies import TrainablePart
from backbench.adaptation.training_inputs import TrainingInputs
from backbench.features.activations import ActivationSource
from backbench.results.records import COMPLETE, PRUNED, TrialRecord
from backbench.search.search import Proposal
from backbench.search.worker import ShouldStop


class CellTrials:
    """Runs the trials of one cell; a boundary's model and data are made when its first trial comes."""

    def __init__(self, inputs: TrainingInputs, pause: Pause) -> None:
        self._inputs, self._pause = inputs, pause
        self._seed = inputs.config.search.seed
        self._of_boundary = cache(self._opened)

    def _opened(self, boundary: str) -> tuple[TrainablePart, ActivationSource, ActivationSource, Weights]:
        train, val = (self._inputs.activations(split, boundary) for split in ("train", "val"))
        trainable_part = self._inputs.trainable_part(boundary)
        initial = trainable_part.initial_values(train, val, seed=self._seed)
        trainable_part.forget_features()  # of every boundary that is searched they would be held to the end
        return trainable_part, train, val, initial

    def run(self, proposals: Sequence[Proposal], should_stop: ShouldStop) -> list[TrialRecord]:
        """Fit a batch of proposals, those of one boundary together, and return their trials in the same order."""
        fits: dict[int, Fit] = {}
        for boundary in dict.fromkeys(proposal.boundary for proposal in proposals):
            places = [place for place, proposal in enumerate(proposals) if proposal.boundary == boundary]
            trainable_part, train, val, initial = self._of_boundary(boundary)
            candidates = [
                Hyperparameters(**proposals[place].parameters, seed=self._inputs.config.search.seed) for place in places
            ]
            found = trainable_part.fit(
                candidates,
                [initial] * len(candidates),
                train,
                val,
                pause=self._pause,
                should_stop=lambda at, history, places=places: should_stop(places[at], history),  # type: ignore[misc]
            )
            fits |= zip(places, found, strict=True)
        return [_trial(proposal, fits[place]) for place, proposal in enumerate(proposals)]


def _trial(proposal: Proposal, fit: Fit) -> TrialRecord:
    return TrialRecord(
        index=proposal.position,
        boundary=proposal.boundary,
        **proposal.parameters,
        val_loss=fit.best.val_loss,
        val_accuracy=fit.best.val_accuracy,
        epochs=len(fit.history),
        state=PRUNED if fit.pruned else COMPLETE,
        history=fit.history,
        reason=fit.reason,
        accumulation_steps=fit.accumulation_steps,
    )
