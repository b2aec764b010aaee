"""The learning rates that every arm tries, in order: those that this project's sampler draws."""

from backbench.search.search import Space, quasi_random_points
from bench.studies import Study


def learning_rates(study: Study) -> list[float]:
    """Return one learning rate per trial, spread evenly over the logarithmic range."""
    strategy, search = study.config.strategy, study.config.search
    ranges = {"learning_rate": strategy.learning_rate, "weight_decay": strategy.weight_decay}
    space = Space(ranges, strategy.boundaries)
    return [point["learning_rate"] for point in quasi_random_points(space, search.num_trials, search.seed)]
