"""A resample is what the metrics say of the images that were drawn."""

import numpy as np
import pytest

from backbench.comparison.resampling import group_counts, image_counts, inflation_of, resample
from backbench.evaluation.metrics import classification_metrics
from backbench.evaluation.predictions import Predictions

NUM_CLASSES = 7


def drawn(seed: int, num_seeds: int = 2, num_images: int = 60) -> Predictions:
    """Random predictions; the last class has no image."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, NUM_CLASSES - 1, num_images).astype(np.int32)
    probabilities = random.dirichlet(np.ones(NUM_CLASSES), (num_seeds, num_images)).astype(np.float32)
    return Predictions(tuple(range(num_seeds)), labels, probabilities)


def test_each_row_is_measured_on_the_images_that_it_drew() -> None:
    predictions = drawn(0)
    (numbers,) = resample([predictions], num_resamples=5)
    counts = np.concatenate(list(image_counts(60, 5))).astype(int)
    assert counts.sum(axis=1).tolist() == [60] * 5
    for row, of_row in enumerate(counts):
        chosen = np.repeat(np.arange(60), of_row)
        for seed in range(2):
            expected = classification_metrics(predictions.probabilities[seed][chosen], predictions.labels[chosen])
            for name, number in numbers.items():
                assert number.resampled[row, seed] == pytest.approx(expected[name], abs=1e-12), name


def test_folds_inflate_the_variance_of_images_and_nothing_else() -> None:
    pair = [drawn(0, num_seeds=3), drawn(1, num_seeds=3)]
    alone, corrected = (resample(pair, inflation=each, num_resamples=200) for each in (1.0, inflation_of(5)))
    assert inflation_of(5) == pytest.approx(1 + 5 / 4)
    assert inflation_of(None) == 1
    for before, after in zip(alone, corrected, strict=True):
        for name, number in after.items():
            np.testing.assert_array_equal(number.measured, before[name].measured)
            assert np.var(number.means) == pytest.approx(2.25 * np.var(before[name].means))
            assert number.variance_beyond_images == pytest.approx(before[name].variance_beyond_images)
            if number.share_of is not None:
                assert number.share_of == pytest.approx(before[name].share_of / 2.25)
    gaps = [np.var(numbers[0]["log_loss"].means - numbers[1]["log_loss"].means) for numbers in (alone, corrected)]
    assert gaps[1] == pytest.approx(2.25 * gaps[0])


def test_images_of_a_group_are_drawn_together_one_group_less_than_there_are() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(8), 3))
    predictions = drawn(4, num_images=24)
    (numbers,) = resample([predictions], groups, num_resamples=5)
    counts = np.concatenate(list(group_counts(groups, 5))).astype(int)
    of_groups = np.stack([counts[:, groups == group] for group in range(8)], axis=1)
    assert (of_groups == of_groups[:, :, :1]).all()
    assert of_groups[:, :, 0].sum(axis=1).tolist() == [7] * 5
    for row, of_row in enumerate(counts):
        chosen = np.repeat(np.arange(24), of_row)
        expected = classification_metrics(predictions.probabilities[0][chosen], predictions.labels[chosen])
        for name, number in numbers.items():
            assert number.resampled[row, 0] == pytest.approx(expected[name], abs=1e-12), name
    assert (numbers["accuracy"].num_images, numbers["accuracy"].num_groups) == (24, 8)
    assert numbers["accuracy"].share_of == pytest.approx(8)


def test_the_variance_of_few_groups_is_not_too_small() -> None:
    """Of four groups, each of one mind: the variance of a mean is the sample variance over their number."""
    groups = np.repeat(np.arange(4), 5)
    labels = np.zeros(20, dtype=np.int32)
    shown = np.repeat([0, 0, 1, 0], 5)
    predictions = Predictions((0,), labels, np.eye(2, dtype=np.float32)[shown][None])
    (numbers,) = resample([predictions], groups, num_resamples=20_000)
    expected = np.var([1, 1, 0, 1], ddof=1) / 4
    assert np.var(numbers["accuracy"].means) == pytest.approx(expected, rel=0.03)


def test_a_large_group_makes_a_mean_a_share_of_fewer() -> None:
    groups = np.repeat(np.arange(11), [30, *[1] * 10])
    predictions = drawn(5, num_images=40)
    (numbers,) = resample([predictions], groups, num_resamples=2)
    assert numbers["accuracy"].share_of == pytest.approx(40**2 / (30**2 + 10))


def test_the_images_as_they_are_give_the_metrics() -> None:
    predictions = drawn(1)
    (numbers,) = resample([predictions], num_resamples=2)
    for seed in range(2):
        expected = classification_metrics(predictions.probabilities[seed], predictions.labels)
        for name, number in numbers.items():
            assert number.measured[seed] == pytest.approx(expected[name], abs=1e-12), name


def test_every_cell_sees_the_same_images_however_many_are_resampled() -> None:
    first, second = drawn(2), drawn(3)
    together = resample([first, second], num_resamples=4)
    alone = resample([second], num_resamples=4)
    np.testing.assert_array_equal(together[1]["accuracy"].resampled, alone[0]["accuracy"].resampled)


def test_many_images_are_drawn_in_blocks() -> None:
    blocks = list(image_counts(1 << 20, 5))
    assert [len(block) for block in blocks] == [2, 2, 1]


def test_a_certain_mistake_costs_what_scikit_learn_says() -> None:
    probabilities = np.array([[[1.0, 0.0], [1e-30, 1.0], [0.3, 0.7]]], dtype=np.float32)
    labels = np.array([1, 0, 1], dtype=np.int32)
    (numbers,) = resample([Predictions((0,), labels, probabilities)], num_resamples=2)
    expected = classification_metrics(probabilities[0], labels)["log_loss"]
    assert numbers["log_loss"].measured[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shown", [*range(7), None])
def test_ties_are_ranked_as_in_the_metrics(shown: int | None) -> None:
    """A saturated softmax shows one class and leaves the others at exactly 0; None shows all alike."""
    probabilities = np.full((1, 7, 7), 1 / 7, np.float32) if shown is None else np.zeros((1, 7, 7), np.float32)
    if shown is not None:
        probabilities[..., shown] = 1.0
    labels = np.arange(7, dtype=np.int32)
    (numbers,) = resample([Predictions((0,), labels, probabilities)], num_resamples=2)
    expected = classification_metrics(probabilities[0], labels)
    assert expected["top_5_accuracy"] == pytest.approx(5 / 7)  # five of seven classes are named, whichever
    for name, number in numbers.items():
        assert number.mean == pytest.approx(expected[name], abs=1e-12), name


def test_a_rare_class_makes_a_mean_over_classes_a_share_of_few_images() -> None:
    labels = np.array([0] * 90 + [1] * 10, dtype=np.int32)
    probabilities = np.eye(2, dtype=np.float32)[labels][None]
    (numbers,) = resample([Predictions((0,), labels, probabilities)], num_resamples=2)
    assert numbers["accuracy"].share_of == 100
    for name in ("balanced_accuracy", "macro_f1"):
        # Of one image's variance p (1 - p): a quarter of 1 / 90 + 1 / 10.
        assert numbers[name].share_of == pytest.approx(1 / ((1 / 90 + 1 / 10) / 4)), name
    assert numbers["log_loss"].share_of is None
