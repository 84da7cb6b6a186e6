from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.variance import Spread, find_tail, measure_spread

Shape = tuple[int, int]


def draw(rng: np.random.Generator, shape: Shape, seed_sd: float, image_sd: float, rest_sd: float) -> np.ndarray:
    seeds, images = rng.normal(0, seed_sd, (shape[0], 1)), rng.normal(0, image_sd, shape[1])
    return seeds + images + rng.normal(0, rest_sd, shape)


def measure(d_RN: np.ndarray, unit: float = 1.0) -> Spread:
    found = measure_spread(d_RN, np.zeros_like(d_RN), unit=unit)
    assert found is not None
    return found


def test_mean_squares_by_hand() -> None:
    # Means 3 and 1 of the seeds, 2.5 and 1.5 of the images, 2 over all; what is left is +-1/2 in every cell.
    # So the mean squares, each on one degree of freedom, are 2 (1 + 1) = 4, 2 (1/4 + 1/4) = 1, and 4 / 4 = 1.
    found = measure(np.array([[4.0, 2.0], [1.0, 1.0]]))
    assert (found.difference, found.by_seed, found.by_image, found.rest) == (2, 4, 1, 1)
    assert found.parts == (3 / 4, 0, 1 / 4)
    assert found.num_telling == 2


def test_parts_are_unbiased() -> None:
    rng, sums = np.random.default_rng(0), np.zeros(3)
    for _ in range(400):
        sums += np.array(measure(draw(rng, (6, 40), 0.5, 1.0, 2.0)).parts) * (6, 40, 240)
    assert sums / 400 == pytest.approx([0.25, 1.0, 4.0], rel=0.12)


def test_half_width_by_hand() -> None:
    # R = 2, N = 2, t(1) = 12.706: the seeds' part is 12.706^2 x 4 / 4; image excess 0; S2 = 2.5^2 + 1.5^2 = 8.5.
    found = measure(np.array([[4.0, 2.0], [1.0, 1.0]]))
    weight = min(((2.5**3 + 1.5**3) ** 2 + 2.5**6 + 1.5**6) / 8.5**2, (2.5**4 + 1.5**4) / 8.5)
    assert found.image_weight == pytest.approx(weight)
    expected = math.sqrt(stats.t.ppf(0.975, 1) ** 2 + math.log(0.025) ** 2 * weight / 4)
    assert found.half_width(0.025, "images") == pytest.approx(expected)


def test_where_images_are_all_alike_it_is_the_paired_t_interval() -> None:
    means = np.array([0.011, 0.014, 0.008, 0.013, 0.010])
    spread = measure(np.repeat(means[:, None], 100_000, axis=1))
    alone = compare_pair(means, np.zeros(5))
    for scope in ("seeds", "images"):
        found = compare_pair(means, np.zeros(5), spread=spread, scope=scope)
        assert found.interval == pytest.approx(alone.interval, rel=1e-3)
        assert found.p == pytest.approx(alone.p, rel=1e-3)


def test_where_seeds_are_all_alike_it_is_the_normal_interval_over_images() -> None:
    images = np.random.default_rng(0).normal(0.01, 0.1, 3_000)
    found = measure(np.tile(images, (4, 1)))
    error = images.std(ddof=1) / math.sqrt(3_000)
    assert found.half_width(0.025, "images") == pytest.approx(1.96 * error, rel=0.01)
    assert found.half_width(0.025, "seeds") < 0.05 * error


def test_no_image_that_differs_is_the_rule_of_three() -> None:
    found = measure(np.zeros((3, 1_000)))
    assert found.half_width(0.05, "images") == pytest.approx(3.0 / 1_000, rel=0.01)
    assert found.half_width(0.05, "seeds") == pytest.approx(3.0 / 3_000, rel=0.01)


def test_all_differences_zero_on_100_images_are_not_equivalent_within_a_fifth_of_a_point() -> None:
    # A true difference of 0.3 points leaves three replicates of 100 images without a difference in 41% of studies.
    for scope in ("seeds", "images"):
        found = compare_pair([0.9] * 3, [0.9] * 3, margin=0.002, spread=measure(np.zeros((3, 100))), scope=scope)
        assert found.p == 1.0
        assert found.p_equivalence is not None
        assert found.p_equivalence > 0.4
        assert found.interval is not None
        assert found.interval[1] > 0.01


@pytest.mark.parametrize("scope", ["images", "seeds"])
def test_p_values_are_what_the_interval_s_ends_just_reach(scope: str) -> None:
    d_RN = draw(np.random.default_rng(3), (4, 60), 0.05, 0.2, 0.3) + 0.12
    spread, values = measure(d_RN), d_RN.mean(axis=1)
    found = compare_pair(values, np.zeros(4), margin=0.02, spread=spread, scope=scope)  # type: ignore[arg-type]
    assert found.p is not None
    assert found.p_margin is not None
    at_p = compare_pair(values, np.zeros(4), confidence=1 - found.p, spread=spread, scope=scope)  # type: ignore[arg-type]
    assert at_p.interval is not None
    assert at_p.interval[0] == pytest.approx(0.0, abs=1e-9)
    assert found.difference is not None
    assert spread.half_width(found.p_margin, scope, -1) == pytest.approx(found.difference - 0.02)  # type: ignore[arg-type]
    assert found.p_behind is not None
    assert spread.half_width(found.p_behind, scope, -1) == pytest.approx(found.difference + 0.02)  # type: ignore[arg-type]
    wide = compare_pair(values, np.zeros(4), margin=0.9, spread=spread, scope=scope)  # type: ignore[arg-type]
    assert wide.p_equivalence is not None
    reach = spread.half_width(wide.p_equivalence, scope, 1)  # type: ignore[arg-type]
    assert reach == pytest.approx(0.9 - found.difference)


def test_the_end_to_which_few_images_pull_reaches_as_far_as_the_exact_bound_of_a_count() -> None:
    for k in (5, 21, 100):
        found = measure(np.tile(-(np.arange(1_000) < k).astype(float), (5, 1)))
        exact = stats.beta.ppf(0.95, k + 1, 1_000 - k) - k / 1_000
        assert found.half_width(0.05, "images", -1) == pytest.approx(exact, rel=0.05)
        assert found.half_width(0.05, "images", -1) > 1.05 * found.half_width(0.05, "images")
        assert found.half_width(0.05, "images", 1) == found.half_width(0.05, "images")


def test_errors_on_few_images_are_not_taken_for_equivalence() -> None:
    # 21 errors or fewer of 1,000 have a chance of 5.2% where the true rate is the margin, 3%.
    wrong_RN = np.tile(np.arange(1_000) < 21, (5, 1))
    for sign in (1, -1):
        found = compare_pair([-sign * 0.021] * 5, [0.0] * 5, margin=0.03, spread=measure(-sign * wrong_RN))
        assert found.p_equivalence is not None
        assert 0.05 < found.p_equivalence < 0.06


def test_third_cumulants_are_those_of_the_mean() -> None:
    rng, images, answers = np.random.default_rng(0), [], []
    for _ in range(300):
        images.append(measure(np.tile(rng.exponential(1.0, 50), (3, 1))).image_skew)
        answers.append(measure(rng.exponential(1.0, (3, 50))).cell_skew)
    # Of an exponential variable it is 2, and falls with the square of the number averaged.
    assert np.mean(images) == pytest.approx(2 / 50**2, rel=0.15)
    assert np.mean(answers) == pytest.approx(2 / 150**2, rel=0.15)
    assert measure(np.eye(2)).cell_skew == 0


def test_new_images_are_held_where_seeds_alone_miss_them() -> None:
    rng, held = np.random.default_rng(1), np.zeros(2)
    for _ in range(400):
        d_RN = draw(rng, (5, 100), 0.03, 0.5, 0.5)
        spread = measure(d_RN)
        for number, scope in enumerate(("images", "seeds")):
            interval = compare_pair(d_RN.mean(axis=1), np.zeros(5), spread=spread, scope=scope).interval  # type: ignore[arg-type]
            assert interval is not None
            held[number] += interval[0] <= 0 <= interval[1]
    images, seeds = held / 400
    assert 0.935 < images < 0.985
    assert seeds < 0.85


def test_a_tail_out_of_reach_is_none_of_the_probability() -> None:
    assert find_tail(lambda tail: 1.0, 2.0) == 0.0
    assert find_tail(lambda tail: 1.0, 0.5) == 0.5
    assert find_tail(lambda tail: -math.log(tail), 3.0) == pytest.approx(math.exp(-3))


def test_too_little_to_measure_is_none_and_tiny_input_is_finite() -> None:
    assert measure_spread(np.ones((1, 9)), np.zeros((1, 9))) is None
    assert measure_spread(np.ones((9, 1)), np.zeros((9, 1))) is None
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            a, b = rng.random((2, 2)) < 0.5, rng.random((2, 2)) < 0.5
            spread = measure_spread(a, b, unit=1.0)
            found = compare_pair(a.mean(axis=1), b.mean(axis=1), spread=spread, margin=0.1)
            assert np.isfinite([found.p, found.p_equivalence, *(found.interval or ())]).all()


def test_losses_that_never_differ_are_bounded_by_what_an_image_costs() -> None:
    losses = np.random.default_rng(0).gamma(0.5, 1.0, (3, 200)).astype(np.float32)
    spread = measure_spread(losses, losses)
    assert spread is not None
    cost = np.sqrt((losses.astype(float) ** 2).mean())
    assert spread.half_width(0.05, "images") == pytest.approx(3.0 / 200 * cost, rel=0.01)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 3)), np.ones((0, 3))),
        (np.full((2, 3), np.nan), np.ones((2, 3))),
    ],
)
def test_impossible_input_is_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must"):
        measure_spread(a, b)
