from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.engine.augment.draws import AUGMENTATION_STREAM, uniform

NUMBERS = np.arange(20_000)


def test_numbers_are_uniform() -> None:
    drawn = uniform(0, 1, NUMBERS, "rotation", 0, 4)
    assert drawn.shape == (20_000, 4)
    assert drawn.dtype == np.float64
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for column in drawn.T:
        assert stats.kstest(column, "uniform").pvalue > 0.001


def test_columns_rows_epochs_seeds_and_steps_are_unrelated() -> None:
    drawn = uniform(0, 1, NUMBERS, "rotation", 0, 3)
    others = [
        uniform(0, 2, NUMBERS, "rotation", 0, 3)[:, 0],
        uniform(1, 1, NUMBERS, "rotation", 0, 3)[:, 0],
        uniform(0, 1, NUMBERS, "affine", 0, 3)[:, 0],
        uniform(0, 1, NUMBERS, "rotation", 1, 3)[:, 0],
        uniform(0, 1, NUMBERS, "rotation", 0, 3, stream=AUGMENTATION_STREAM + 1)[:, 0],
        drawn[:, 1],
        drawn[:, 2],
        np.roll(drawn[:, 0], 1),
    ]
    # The correlation of independent columns has an sd of 1/sqrt(n); 5 of them in 8 comparisons never happens by chance.
    for other in others:
        assert abs(np.corrcoef(drawn[:, 0], other)[0, 1]) < 5 / np.sqrt(len(NUMBERS))


def test_two_draws_fill_the_square_evenly() -> None:
    drawn = uniform(3, 1, NUMBERS, "affine", 0, 2)
    counts, *_ = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=10, range=[(0, 1), (0, 1)])
    assert stats.chisquare(counts.ravel()).pvalue > 0.001


def test_a_row_depends_on_its_image_alone() -> None:
    whole = uniform(5, 3, NUMBERS[:100], "erasing", 0, 5)
    np.testing.assert_array_equal(uniform(5, 3, np.array([42, 7]), "erasing", 0, 5), whole[[42, 7]])


def test_a_column_does_not_depend_on_how_many_there_are() -> None:
    whole = uniform(5, 3, NUMBERS[:100], "erasing", 0, 5)
    np.testing.assert_array_equal(uniform(5, 3, NUMBERS[:100], "erasing", 0, 2), whole[:, :2])


def test_numbers_stay_what_they_are() -> None:
    # Results already in a ledger depend on these: a change of the function needs a new engine version.
    drawn = uniform(7, 2, np.array([0, 1, 123_456_789]), "random_crop", 1, 2)
    expected = [
        [0.7326081005271298, 0.16199530353604974],
        [0.2747409421047696, 0.19306124677845748],
        [0.4447526584153545, 0.9950861653600667],
    ]
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("num_images", [0, 1])
def test_small_batches(num_images: int) -> None:
    assert uniform(0, 1, np.arange(num_images), "pad", 0, 3).shape == (num_images, 3)
