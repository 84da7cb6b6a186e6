from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.analysis.luck import bootstrap_difference
from bakeoff.analysis.measure import Measure
from bakeoff.analysis.metrics import find_metric
from bakeoff.analysis.pairs import compare_pair
from bakeoff.analysis.variance import split_variance, write_luck

ACCURACY = Measure(find_metric("accuracy"), "test")


def draw(
    rng: np.random.Generator, num_replicates: int, num_images: int, seed_sd: float, image_sd: float, rest_sd: float
) -> np.ndarray:
    seeds, images = rng.normal(0, seed_sd, (num_replicates, 1)), rng.normal(0, image_sd, num_images)
    return seeds + images + rng.normal(0, rest_sd, (num_replicates, num_images))


def test_by_hand() -> None:
    # Means 3 and 1 of the seeds, 2.5 and 1.5 of the images, 2 over all; what is left is +-1/2 in every cell.
    # So the mean squares, each on one degree of freedom, are 2 (1 + 1) = 4, 2 (1/4 + 1/4) = 1, and 4 / 4 = 1.
    found = split_variance(np.array([[4.0, 2.0], [1.0, 1.0]]), np.zeros((2, 2)))
    assert found is not None
    assert found.difference == 2
    assert found.seeds == pytest.approx((4 - 1) / 4)
    assert found.images == 0
    assert found.rest == pytest.approx(1 / 4)
    # Images taken as zero: the variance is the seeds' mean square over 4, on one degree of freedom, where t is 12.71.
    assert found.standard_error == 1
    assert found.interval == pytest.approx((2 - 12.706, 2 + 12.706), abs=0.001)


def test_estimates_are_unbiased() -> None:
    rng, sums = np.random.default_rng(0), np.zeros(3)
    for _ in range(400):
        found = split_variance(draw(rng, 6, 40, 0.5, 1.0, 2.0), np.zeros((6, 40)))
        assert found is not None
        sums += [found.seed_sd**2, found.image_sd**2, found.rest * 6 * 40]
    assert sums / 400 == pytest.approx([0.25, 1.0, 4.0], rel=0.12)


def test_without_image_effects_it_is_the_paired_t_interval() -> None:
    # Every image of a replicate alike: what is left is the spread over replicates.
    means = np.array([0.011, 0.014, 0.008, 0.013, 0.010])
    found = split_variance(np.repeat(means[:, None], 50, axis=1), np.zeros((5, 50)))
    alone = compare_pair(means, np.zeros(5))
    assert found is not None
    assert found.interval == pytest.approx(alone.interval)
    assert found.image_share == 0


def test_without_seed_effects_it_is_the_t_interval_over_images() -> None:
    images = np.random.default_rng(0).normal(0.01, 0.1, 300)
    found = split_variance(np.tile(images, (4, 1)), np.zeros((4, 300)))
    expected = stats.ttest_1samp(images, 0).confidence_interval(0.95)
    assert found is not None
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.image_share == 1
    luck = bootstrap_difference(np.tile(images, (4, 1)), np.zeros((4, 300)))
    assert luck.standard_error == pytest.approx(found.standard_error, rel=0.1)


def test_interval_over_seeds_and_images_holds_the_truth() -> None:
    # A seed, an image and both anew: neither interval alone would hold it 95 times of 100.
    rng, both, seeds_alone, images_alone = np.random.default_rng(1), 0, 0, 0
    for number in range(400):
        d = draw(rng, 5, 100, 0.05, 0.5, 0.5)
        found = split_variance(d, np.zeros_like(d))
        assert found is not None
        assert found.interval is not None
        both += found.interval[0] <= 0 <= found.interval[1]
        by_seed = compare_pair(d.mean(axis=1), np.zeros(5)).interval or (0, 0)
        by_image = bootstrap_difference(d, np.zeros_like(d), num_resamples=300, seed=number).interval or (0, 0)
        seeds_alone += by_seed[0] <= 0 <= by_seed[1]
        images_alone += by_image[0] <= 0 <= by_image[1]
    assert 0.925 < both / 400 < 0.985
    assert images_alone < both
    assert seeds_alone < both


def test_nothing_to_split_is_none_and_no_variance_has_no_interval() -> None:
    assert split_variance(np.ones((1, 9)), np.zeros((1, 9))) is None
    assert split_variance(np.ones((9, 1)), np.zeros((9, 1))) is None
    level = split_variance(np.full((3, 9), 0.3), np.full((3, 9), 0.1))
    assert level is not None
    assert (level.standard_error, level.interval, level.image_share) == (0, None, None)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="must"):
        split_variance(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="must"):
        split_variance(np.ones((2, 3)), np.ones((2, 3)), confidence=2)


def test_sentence_says_what_would_help() -> None:
    rng = np.random.default_rng(0)
    zeros = np.zeros((5, 1_000))
    images = draw(rng, 5, 1_000, 0.0, 0.2, 0.05) + 0.004
    text = write_luck(bootstrap_difference(images, zeros), split_variance(images, zeros), ACCURACY)
    assert text.startswith("The same trained models on 1,000 other images of this kind would differ by ")
    assert "more replicates will not lower it, more test images would." in text
    seeds = draw(rng, 5, 1_000, 0.05, 0.01, 0.02)
    text = write_luck(bootstrap_difference(seeds, zeros), split_variance(seeds, zeros), ACCURACY)
    assert text.endswith("more replicates would lower that.")
    same = np.ones((2, 100), dtype=bool)
    text = write_luck(bootstrap_difference(same, same), split_variance(same, same), ACCURACY)
    assert "Caution: no image tells the arms apart" in text
    assert "nan" not in text
