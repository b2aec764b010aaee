"""The source task: what is drawn depends on seed and index only, and nothing of the target is in it."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from pretraining.formula import glyphs, mixture
from pretraining.formula.ink import thinned
from pretraining.formula.warping import resampler

FORMULA = Path(mixture.__file__).parent


def test_an_image_is_the_same_in_whatever_batch_it_is_drawn() -> None:
    together, labels = mixture.draw(3, range(40, 52), 64)
    alone, label = mixture.draw(3, range(47, 48), 64)
    assert together.dtype == np.uint8
    assert together.shape == (12, 64, 64, 3)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(together[7], alone[0])
    assert labels[7] == label[0]


def test_seeds_differ() -> None:
    # A seed's scenes take seconds to draw; other tests share those of 0 and 3.
    first, _ = mixture.draw(0, range(8), 64)
    second, _ = mixture.draw(3, range(8), 64)
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_labels_cover_the_mixture() -> None:
    _, labels = mixture.draw(0, range(300), 32)
    assert labels.min() >= 0
    assert labels.max() < mixture.num_classes()
    starts = np.cumsum([0, *(part.num_classes for part in mixture.PARTS)])
    assert (np.histogram(labels, bins=starts)[0] > 0).all()


def test_shares_of_the_mixture_add_up_to_one() -> None:
    assert sum(part.share for part in mixture.PARTS) == pytest.approx(1.0)


def test_no_digit_is_among_the_glyphs() -> None:
    characters = [character for entry in glyphs.CLASSES for character in entry]
    assert len(characters) == len(set(characters))
    for character in characters:
        assert unicodedata.category(character)[0] != "N", character
        assert unicodedata.digit(character, None) is None


def test_every_glyph_has_a_font() -> None:
    for entry in glyphs.CLASSES:
        for character in entry:
            assert glyphs._fonts_with(character), character


@pytest.mark.parametrize("part", mixture.PARTS, ids=lambda part: part.name)
def test_every_class_of_a_part_draws_something(part: mixture.Part) -> None:
    for label in range(part.num_classes):
        plane = part.draw(label, np.random.default_rng((9, label)), 64)
        assert plane.shape == (64, 64)
        assert plane.min() >= 0.0
        assert plane.max() <= 1.0
        assert plane.max() - plane.min() > 0.3, label


def test_the_source_task_reads_nothing_of_the_target() -> None:
    for file in FORMULA.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        for forbidden in ("sklearn", "load_digits", "load_sample_image", "photodigits", "assets", "Image.open"):
            assert forbidden not in text, (file.name, forbidden)


def test_thinning_leaves_a_line() -> None:
    ink = np.zeros((40, 40), bool)
    ink[5:35, 15:25] = True
    line = thinned(ink)
    assert 15 <= line.sum() <= 35
    assert not (line & ~ink).any()


def test_resampling_keeps_a_constant() -> None:
    np.testing.assert_allclose(resampler(64, 5) @ np.ones(5), 1.0, atol=1e-5)
