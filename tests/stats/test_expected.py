"""Power from an expected spread: closed forms, published figures, the interval of a real study, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.expected import ExpectedSpread, find_least_difference
from bakeoff.stats.power import power_to_detect, replicates_to_detect
from bakeoff.stats.variance import measure_spread


@pytest.mark.parametrize("n", [3, 5, 10, 40])
@pytest.mark.parametrize("level", [0.05, 0.05 / 6, 0.045 / 36])
def test_without_images_power_is_the_noncentral_t(n: int, level: float) -> None:
    spread = ExpectedSpread(sd=2.0)
    for difference in (0.5, 1.0, 3.0, 10.0):
        critical = stats.t.isf(level / 2, n - 1)
        expected = stats.nct.sf(critical, n - 1, difference / 2.0 * n**0.5)
        assert spread.find_power(difference, n, level) == pytest.approx(expected, abs=2e-4)
        assert spread.find_power(difference, n, level) == pytest.approx(
            power_to_detect(difference / 2.0, n, level), abs=2e-4
        )
        equal = max(0.0, 2 * stats.nct.sf(stats.t.isf(level, n - 1), n - 1, difference / 2.0 * n**0.5) - 1)
        # Where the interval is wider than the margin there is no verdict; the closed form counts less than none there.
        assert spread.find_equivalence_power(difference, n, level) >= equal - 2e-4


@pytest.mark.parametrize(("difference", "num_replicates"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_published_sample_sizes(difference: float, num_replicates: int) -> None:
    # Paired t, two-sided 5%, power 80%: Cohen (1988) and G*Power.
    assert ExpectedSpread(sd=1.0).count_to_show(difference, 0.05) == num_replicates
    assert replicates_to_detect(difference, alpha=0.05) == num_replicates


def test_detectable_and_power_are_inverse() -> None:
    spread = ExpectedSpread(sd=0.01, images=0.003**2)
    for n in (3, 5, 20):
        found = spread.find_detectable(n, 0.01)
        assert spread.find_power(found, n, 0.01) == pytest.approx(0.8, abs=1e-3)
        margin = spread.find_margin(n, 0.01)
        assert spread.find_equivalence_power(margin, n, 0.01) == pytest.approx(0.8, abs=1e-3)
    needed = spread.count_to_show(0.015, 0.01)
    assert needed is not None
    assert spread.find_power(0.015, needed, 0.01) >= 0.8 > spread.find_power(0.015, needed - 1, 0.01)
    equal = spread.count_to_equate(0.015, 0.01)
    assert equal is not None
    assert spread.find_equivalence_power(0.015, equal, 0.01) >= 0.8


def test_more_replicates_do_not_get_below_the_limit_of_the_images() -> None:
    spread = ExpectedSpread(sd=0.01, images=0.003**2)
    limit = spread.find_limit(0.05)
    assert limit == pytest.approx(0.003 * (stats.norm.isf(0.025) + stats.norm.ppf(0.8)), rel=1e-4)
    found = [spread.find_detectable(n, 0.05) for n in (3, 5, 10, 100, 10_000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(limit, rel=0.01)
    assert found[-1] > limit
    assert spread.count_to_show(0.9 * limit, 0.05) is None
    assert ExpectedSpread(sd=0.01).find_limit(0.05) == 0.0


def test_more_degrees_of_freedom_show_more_with_few_replicates() -> None:
    own = ExpectedSpread(sd=0.01)
    borrowed = ExpectedSpread(sd=0.01, degrees=lambda n: 8 * (n - 1))
    assert borrowed.find_detectable(3, 0.01) < 0.5 * own.find_detectable(3, 0.01)
    known = ExpectedSpread(sd=0.01, degrees=lambda n: 1e6)
    normal = 0.01 / 3**0.5 * (stats.norm.isf(0.005) + stats.norm.ppf(0.8))
    assert known.find_detectable(3, 0.01) == pytest.approx(normal, rel=1e-3)


@pytest.mark.parametrize("scope", ["seeds", "images"])
def test_power_is_that_of_the_interval_of_a_real_study(scope: str) -> None:
    """Simulated answers, judged by `Spread.half_width`: normal effects of seeds, images and answers."""
    rng, r, n, level = np.random.default_rng(1), 5, 400, 0.02
    seed, image, rest = 0.01, 0.2, 0.2
    found = ExpectedSpread(
        sd=(seed**2 + rest**2 / n) ** 0.5, images=image**2 / n if scope == "images" else 0.0, num_images=n
    )
    difference, shown, num_studies = found.find_detectable(r, level), 0, 600
    fixed_N = image * rng.standard_normal((1, n))
    fixed_N -= fixed_N.mean()
    for _ in range(num_studies):
        images_N = image * rng.standard_normal((1, n)) if scope == "images" else fixed_N
        d_RN = difference + seed * rng.standard_normal((r, 1)) + images_N + rest * rng.standard_normal((r, n))
        spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0, scope=scope)  # type: ignore[arg-type]
        assert spread is not None
        shown += spread.difference >= spread.half_width(level / 2, scope)  # type: ignore[arg-type]
    assert shown / num_studies == pytest.approx(0.8, abs=0.05)  # three standard errors


def test_few_images_bound_what_can_be_shown() -> None:
    level, n = 0.05, 1_000

    def shows(k: int) -> bool:
        a_RN = np.zeros((3, n))
        a_RN[:, :k] = 1.0
        spread = measure_spread(a_RN, np.zeros((3, n)), unit=1.0, scope="images")
        assert spread is not None
        return spread.difference >= spread.half_width(level / 2, "images")

    fewest = next(k for k in range(1, 50) if shows(k))
    least = find_least_difference(n, level)
    assert stats.poisson.sf(fewest - 1, least * n) == pytest.approx(0.8)


def test_what_was_not_met_is_allowed_for_as_in_a_real_study() -> None:
    """Images on which one arm is right, for every seed: `measure_spread` of answers so drawn gives the same width."""
    n, level, q = 2_000, 0.02, 0.02
    expected = ExpectedSpread(sd=0.0, images=q / n, num_images=n, disagreement=q)
    for difference in (0.0, 0.01, 0.02):
        favour, against = round(n * (q + difference) / 2), round(n * (q - difference) / 2)
        d_RN = np.zeros((4, n))
        d_RN[:, :favour], d_RN[:, favour : favour + against] = 1.0, -1.0
        spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0, scope="images")
        assert spread is not None
        reach_Q, _, _ = expected._measure_reach(4, level / 2, difference)
        assert reach_Q == pytest.approx(spread.half_width(level / 2, "images"), rel=0.02)


def test_images_needed() -> None:
    spread = ExpectedSpread(sd=0.002, images=0.1 / 500, num_images=500)
    found = spread.count_images(lambda other: other.find_detectable(10, 0.05) <= 0.02)
    assert found is not None
    assert spread.with_images(found).find_detectable(10, 0.05) <= 0.02 < spread.find_detectable(10, 0.05)
    assert spread.with_images(round(0.9 * found)).find_detectable(10, 0.05) > 0.02
    assert spread.count_images(lambda other: other.find_detectable(10, 0.05) <= 0.001) is None
