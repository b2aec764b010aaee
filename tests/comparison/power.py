"""How often the chosen cell is told apart from one that is 3 points behind, among 140 cells.

Usage: `python -m tests.comparison.power`.

1,200 test images. One cell of 0.88, twenty of 0.85, and the others evenly from 0.60 to 0.85; the first is the chosen
one. Told apart by Holm's method over all 9,730 pairs, by Holm's over the 139 that the chosen is in, and as `compare`
does. 100 benchmarks each take some minutes.
"""

from itertools import combinations

import numpy as np
from threadpoolctl import threadpool_limits

from backbench.comparison.uncertainty import SIGNIFICANCE, adjusted_p_values, compare_with, difference
from tests.support.known_truth import counts_of, drawn_cells, measured, seed_effects

NUM_IMAGES, NUM_RESAMPLES, NUM_BENCHMARKS = 1200, 1000, 100
NUM_BEHIND = 20
ACCURACIES = (0.88, *(0.85,) * NUM_BEHIND, *np.linspace(0.60, 0.85, 119))
SEEDS = ((3, 0.035), (3, 0.01), (5, 0.035), (10, 0.035))


def told_apart(repeat: int, num_seeds: int, sd_of_seeds: float, counts: np.ndarray) -> tuple[float, ...]:
    """Return in one benchmark the share of the cells behind that is told apart, in each of the three ways."""
    random = np.random.default_rng(repeat)
    effects = seed_effects(random, len(ACCURACIES), num_seeds, sd_of_seeds)
    cells = drawn_cells(random, ACCURACIES, effects, NUM_IMAGES, sd_of_seeds=sd_of_seeds)
    numbers = {str(place): measured(cell, counts) for place, cell in enumerate(cells)}
    of_all = [difference(numbers[first], numbers[second]).p_value for first, second in combinations(numbers, 2)]
    of_chosen = compare_with("0", numbers)
    ways = (
        adjusted_p_values(of_all),  # the first pairs are those of the first cell
        adjusted_p_values([pair.p_value for pair in of_chosen]),
        [pair.adjusted_p_value for pair in of_chosen],
    )
    return tuple(float(np.mean(np.array(way[:NUM_BEHIND]) < SIGNIFICANCE)) for way in ways)


if __name__ == "__main__":
    print("| seeds | their deviation | Holm, all pairs | Holm, with the chosen | jointly |\n|---|---|---|---|---|")
    with threadpool_limits(1):
        for num_seeds, sd_of_seeds in SEEDS:
            counts = counts_of(NUM_IMAGES, NUM_RESAMPLES)
            rates = [told_apart(repeat, num_seeds, sd_of_seeds, counts) for repeat in range(NUM_BENCHMARKS)]
            points = 100 * sd_of_seeds * 0.233  # the slope of accuracy at 0.85
            shown = (f"{rate:.0%}" for rate in np.mean(rates, axis=0))
            print(f"| {num_seeds} | {points:.1f} points |", " | ".join(shown), "|", flush=True)
