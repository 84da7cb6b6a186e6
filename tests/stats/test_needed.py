from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from bakeoff.stats.needed import Needed, count_needed
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.power import replicates_to_detect
from bakeoff.stats.variance import measure_spread


def compare(effect: float, n: int = 10, **options: float) -> PairComparison:
    return compare_pair(stats.zscore(np.arange(float(n)), ddof=1) + effect, np.zeros(n), **options)  # type: ignore[arg-type]


def test_range_is_that_of_the_effect_by_the_noncentral_t() -> None:
    needed = count_needed(compare(1.2), level=0.001)
    assert needed is not None
    assert needed.least is not None
    t = 1.2 * 10**0.5
    for total, chance in ((needed.least + 10, 0.1), (needed.most and needed.most + 10, 0.9)):
        assert total is not None
        # The effect at which a t as large (or as small) as this one has a chance of 10%.
        shift = optimize.brentq(lambda shift, chance=chance: stats.nct.cdf(t, 9, shift) - chance, 0, 12)
        expected = replicates_to_detect(shift / 10**0.5, alpha=0.001)
        assert expected is not None
        assert total == pytest.approx(max(11, expected), abs=1 + 0.02 * expected)


def test_range_holds_the_number_truly_needed_in_80_of_100_studies() -> None:
    rng, held, open_pairs = np.random.default_rng(0), 0, 0
    truly = replicates_to_detect(0.6, alpha=0.05)
    assert truly is not None
    for _ in range(300):
        needed = count_needed(compare_pair(rng.normal(0.6, 1, 8), np.zeros(8)), level=0.05)
        assert needed is not None
        open_pairs += 1
        held += (needed.least or 101) <= truly - 8 <= (needed.most or 1_000)
    assert held / open_pairs > 0.75


def test_nothing_promises_a_verdict_where_there_is_no_effect() -> None:
    rng, promised = np.random.default_rng(1), 0
    for _ in range(200):
        needed = count_needed(compare_pair(rng.normal(0, 1, 5), np.zeros(5)), level=0.05)
        assert needed is not None
        promised += needed.most is not None
    assert promised / 200 < 0.25


def test_an_open_pair_never_needs_none() -> None:
    needed = count_needed(compare(3.0), level=1e-4)
    assert needed is not None
    assert needed.least == 1


def test_texts() -> None:
    assert Needed(12, 60).text == "12 to 60"
    assert Needed(12, None).text == "at least 12"
    assert Needed(None, None).text == "more than 100"
    assert Needed(4, 4).text == "4"


def test_inside_the_margin_it_counts_towards_equivalence() -> None:
    towards_difference = count_needed(compare(0.1), level=0.05)
    towards_equivalence = count_needed(compare(0.1, margin=1.5), level=0.05)
    assert towards_difference is not None
    assert towards_equivalence is not None
    assert towards_difference.most is None
    assert towards_equivalence.most is not None
    assert towards_equivalence.most < 100


def test_a_lead_inside_the_margin_may_still_be_shown_to_be_one() -> None:
    towards_difference = count_needed(compare(1.2), level=0.001)
    either = count_needed(compare(1.2, margin=1.3), level=0.001)
    assert towards_difference is not None
    assert towards_difference.most is not None
    assert either == towards_difference


def test_stricter_levels_need_more_and_too_little_says_nothing() -> None:
    mild, strict = (count_needed(compare(0.7), level=level) for level in (0.05, 0.05 / 36))
    assert mild is not None
    assert strict is not None
    assert (strict.least or 101) > (mild.least or 101)
    assert count_needed(compare_pair([1.0, 2.0], [0.0, 0.0]), level=0.05) is None
    assert count_needed(compare_pair([1.0] * 4, [1.0] * 4), level=0.05) is None


def test_no_number_of_replicates_removes_what_the_images_do() -> None:
    rng = np.random.default_rng(0)
    d_RN = rng.normal(0, 1, 200) + rng.normal(0, 0.1, (5, 200))
    d_RN += 0.05 - d_RN.mean()
    spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0)
    values = d_RN.mean(axis=1)
    on_images = count_needed(compare_pair(values, np.zeros(5), spread=spread, scope="images"), level=0.05)
    on_seeds = count_needed(compare_pair(values, np.zeros(5), spread=spread, scope="seeds"), level=0.05)
    assert on_images == Needed(None, None)
    assert on_seeds is not None
    assert on_seeds.least == 1


def test_folds_need_whole_replicates_and_cannot_tell_everything() -> None:
    large = compare(1.2, test_share=1 / 9)
    alone, whole = count_needed(large, level=0.05), count_needed(large, level=0.05, runs_per_replicate=10)
    assert alone is not None
    assert whole is not None
    assert whole.least == -(-(alone.least or 0) // 10)
    assert count_needed(compare(0.3, test_share=1 / 4), level=0.001) == Needed(None, None)
