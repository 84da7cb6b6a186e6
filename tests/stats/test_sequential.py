from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.family import decide_family
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.sequential import PairLooks, SequentialDesign, compare_by_looks
from bakeoff.stats.variance import measure_spread

DESIGN = SequentialDesign(at_least=3, at_most=20)


def draw(n: int, difference: float = 0.0, seed: int = 0) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    return list(rng.normal(0.9 + 0.01 * difference, 0.01, n)), list(np.full(n, 0.9))


def look_at(
    a: list[float], b: list[float], design: SequentialDesign = DESIGN, margin: float | None = None
) -> PairLooks:
    looks = PairLooks(design)
    for n in range(design.at_least, len(a) + 1):
        looks.add(compare_pair(a[:n], b[:n], margin=margin))
    return looks


@pytest.mark.parametrize(
    "wrong",
    [{"at_least": 2}, {"at_least": 21}, {"confidence": 0.0}, {"confidence": 1.0}, {"at_most": 2}, {"rise": -1.0}],
)
def test_a_design_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        SequentialDesign(**{"at_least": 3, "at_most": 20, **wrong})  # type: ignore[arg-type]


def test_levels_rise_for_the_race_and_are_equal_for_scores_that_did_not_steer_it() -> None:
    levels = DESIGN.level(np.arange(3, 21), 0.05).tolist()
    assert levels == sorted(levels)
    assert levels[0] < 0.002
    assert 0.015 < levels[-1] < 0.025
    assert DESIGN.flatten() == SequentialDesign(at_least=3, at_most=20, rise=0.0)
    assert len(set(DESIGN.flatten().level(np.arange(3, 21), 0.05).tolist())) == 1


def test_with_a_single_look_it_is_the_plain_comparison() -> None:
    a, b = draw(8, 0.7)
    found = compare_by_looks(a, b, design=SequentialDesign(at_least=8, at_most=8), margin=0.02)
    plain = compare_pair(a, b, margin=0.02)
    assert found.p == pytest.approx(plain.p, rel=1e-6)
    assert found.p_equivalence == pytest.approx(plain.p_equivalence, rel=1e-6)
    assert found.interval == pytest.approx(plain.interval, rel=1e-6)
    assert (found.n, found.difference, found.sd, found.correlation) == (8, plain.difference, plain.sd, None)


def test_not_being_behind_is_to_exceed_the_margin_from_twice_as_far() -> None:
    """A difference above -m is one above m once both margins are added: the same reach of the same intervals."""
    a, b = draw(8, 0.7)
    margin = 0.004
    found = compare_by_looks(a, b, design=DESIGN, margin=margin)
    shifted = compare_by_looks([value + 2 * margin for value in a], b, design=DESIGN, margin=margin)
    assert found.difference is not None
    assert found.difference > 0
    assert found.p_behind == pytest.approx(shifted.p_margin, rel=1e-6)
    assert compare_by_looks(a, b, design=DESIGN).p_behind is None


def test_the_p_value_by_hand() -> None:
    a, b = draw(12, 0.8)
    scaled = [stats.ttest_rel(a[:n], b[:n]).pvalue * (20 / n) ** 1.5 for n in range(3, 13)]
    assert all(np.mean(a[:n]) > np.mean(b[:n]) for n in range(3, 13))
    assert compare_by_looks(a, b, design=DESIGN).p == pytest.approx(DESIGN.p_value(min(scaled)))


def test_the_interval_by_hand() -> None:
    a, b = draw(12, 0.8)
    intervals = []
    for n in range(3, 13):
        confidence = 1 - DESIGN.level(n, 0.05)
        intervals.append(stats.ttest_rel(a[:n], b[:n]).confidence_interval(confidence))
    expected = max(found.low for found in intervals), min(found.high for found in intervals)
    assert compare_by_looks(a, b, design=DESIGN).interval == pytest.approx(expected)


def test_the_p_value_and_the_interval_agree() -> None:
    sides = []
    for seed in range(120):
        found = compare_by_looks(*draw(4 + seed % 17, 0.7, seed), design=DESIGN)
        assert found.p is not None
        assert found.interval is not None
        sides.append(found.p <= 0.05)
        assert sides[-1] == (not found.interval[0] <= 0 <= found.interval[1])
    assert 10 < sum(sides) < 110


def test_looking_often_does_not_find_more_where_nothing_is() -> None:
    found, peeked, missed, num_studies = 0, 0, 0, 1_000
    for seed in range(num_studies):
        a, b = draw(20, seed=seed)
        comparison = compare_by_looks(a, b, design=DESIGN)
        assert comparison.p is not None
        assert comparison.interval is not None
        found += comparison.p <= 0.05
        missed += not comparison.interval[0] <= 0 <= comparison.interval[1]
        peeked += stats.ttest_rel(a[:5], b[:5]).pvalue <= 0.05 or stats.ttest_rel(a, b).pvalue <= 0.05
    # 5% +- 3 standard errors of 0.69%; two plain looks alone already exceed it.
    assert 0.029 < found / num_studies < 0.071
    assert 0.029 < missed / num_studies < 0.071
    assert peeked / num_studies > 0.071


def test_a_finding_is_kept_while_its_direction_lasts() -> None:
    a, b = draw(8, 3.0)
    early = look_at(a, b).p
    assert early < 0.05
    worn = look_at([*a, *[0.9 - 0.005] * 8], [*b, *[0.9] * 8])
    assert worn.leads
    assert worn.p == early
    turned = look_at([*a, *[0.9 - 0.08] * 8], [*b, *[0.9] * 8])
    assert not turned.leads
    assert turned.p > 0.05


def test_equivalence_by_hand() -> None:
    a, b = draw(14)
    margin, scaled = 0.02, []
    for n in range(3, 15):
        differences = np.subtract(a[:n], b[:n])
        lower = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        upper = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        scaled.append(max(lower, upper) * (20 / n) ** 1.5)
    found = compare_by_looks(a, b, design=DESIGN, margin=margin)
    assert found.p_equivalence == pytest.approx(DESIGN.p_value(min(scaled), sides=1))
    assert decide_family([found])[0].verdict == "equivalent"
    assert compare_by_looks(a, b, design=DESIGN).p_equivalence is None


def test_false_equivalence_at_the_edge_of_the_margin() -> None:
    found = sum(
        (compare_by_looks(*draw(20, 1.0, seed), design=DESIGN, margin=0.01).p_equivalence or 0.0) <= 0.05
        for seed in range(1_000)
    )
    assert 0.03 < found / 1_000 < 0.07


def test_equal_scores_are_no_proof_at_once() -> None:
    equal = compare_by_looks([0.9] * 3, [0.9] * 3, design=DESIGN, margin=0.01)
    assert (equal.p, equal.interval, equal.sd) == (1.0, None, 0.0)
    assert equal.p_equivalence is not None
    assert equal.p_equivalence > 0.05
    many = compare_by_looks([0.9] * 20, [0.9] * 20, design=DESIGN, margin=0.01)
    assert many.p_equivalence is not None
    assert many.p_equivalence < 0.001


def test_the_same_difference_every_time_counts_as_a_sign_test() -> None:
    few = compare_by_looks([0.9] * 3, [0.8] * 3, design=DESIGN)
    assert few.p is not None
    assert few.p > 0.05
    assert few.interval is None
    many = compare_by_looks([0.9] * 20, [0.8] * 20, design=DESIGN)
    assert many.p is not None
    assert many.p < 0.001
    assert decide_family([many])[0].verdict == "better"


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_there_is_no_verdict_before_the_first_look(n: int) -> None:
    design = SequentialDesign(at_least=6, at_most=20)
    found = compare_by_looks(*draw(n, 5.0), design=design, margin=0.01)
    assert (found.n, found.p, found.p_equivalence, found.interval) == (n, None, None, None)
    assert decide_family([found])[0].verdict == "inconclusive"


def test_looks_that_the_design_does_not_have_are_refused() -> None:
    a, b = draw(21)
    with pytest.raises(ValueError, match="21 replicates"):
        compare_by_looks(a, b, design=DESIGN)
    looks = look_at(a[:5], b[:5])
    for n in (2, 5):
        with pytest.raises(ValueError, match=f"{n} replicates after one at 5"):
            looks.add(compare_pair(a[:n], b[:n]))


def is_futile(looks: PairLooks, most: int = 20, num_open: int = 1) -> bool:
    return looks.is_futile(most=most, num_open=num_open, num_open_equivalence=num_open)


def with_t(n: int, t: float, margin: float | None = None) -> PairComparison:
    """Return a comparison of n differences with sd 1 and this t statistic."""
    spread = np.arange(n) - (n - 1) / 2
    return compare_pair(list(spread / spread.std(ddof=1) + t / np.sqrt(n)), [0.0] * n, margin=margin)


def test_a_pair_is_given_up_late_and_only_where_little_shows() -> None:
    for n, t, expected in ((3, 0.0, False), (17, 0.0, True), (17, 2.0, False), (10, 2.0, False), (19, 0.5, True)):
        looks = PairLooks(DESIGN)
        looks.add(with_t(n, t))
        assert is_futile(looks) == expected, (n, t)


def test_a_pair_that_could_still_be_equivalent_is_not_given_up() -> None:
    for margin, expected in ((None, True), (0.01, True), (2.0, False)):
        looks = PairLooks(DESIGN)
        looks.add(with_t(17, 0.0, margin))
        assert is_futile(looks) == expected


def test_a_pair_without_enough_replicates_left_is_given_up() -> None:
    looks = PairLooks(DESIGN)
    assert not is_futile(looks)
    assert is_futile(looks, most=2)
    looks.add(with_t(10, 1.5))
    assert not is_futile(looks)
    assert is_futile(looks, most=10)


def test_identical_differences_race_on_while_a_sign_test_may_tell() -> None:
    looks = look_at([0.9] * 4, [0.9] * 4, margin=0.01)
    assert not is_futile(looks)
    late = look_at([0.9] * 18, [0.9] * 18)  # no margin: nothing can be shown of equal arms
    assert is_futile(late)


def test_new_images_widen_a_race_once() -> None:
    rng = np.random.default_rng(4)
    d_RN = 0.05 + rng.normal(0, 0.02, (12, 1)) + rng.normal(0, 0.4, 400) + rng.normal(0, 0.2, (12, 400))
    d_RN += 0.05 - d_RN.mean()
    spread, values = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0), d_RN.mean(axis=1)
    assert spread is not None
    alone = compare_by_looks(values, np.zeros(12), design=DESIGN, margin=0.02)
    wide = compare_by_looks(values, np.zeros(12), design=DESIGN, margin=0.02, spread=spread)
    assert alone.interval is not None
    assert wide.interval is not None
    assert (alone.scope, wide.scope) == ("seeds", "images")
    for end, other in zip(alone.interval, wide.interval, strict=True):
        assert abs(other - 0.05) == pytest.approx(math.hypot(end - 0.05, spread.widen(0.0, 0.025, "images")))
    assert wide.p is not None
    assert alone.p is not None
    assert wide.p > alone.p
    # The interval at confidence 1 - p ends at zero.
    at_p = compare_by_looks(
        values, np.zeros(12), design=replace(DESIGN, confidence=1 - wide.p), margin=0.02, spread=spread
    )
    assert at_p.interval is not None
    assert at_p.interval[0] == pytest.approx(0.0, abs=1e-4)


def test_equal_scores_of_a_race_are_bounded_by_their_images() -> None:
    spread = measure_spread(np.zeros((20, 100)), np.zeros((20, 100)), unit=1.0)
    found = compare_by_looks([0.9] * 20, [0.9] * 20, design=DESIGN, margin=0.01, spread=spread)
    assert found.interval is not None
    assert found.interval[1] == pytest.approx(0.0369, abs=1e-3)
    assert found.p_equivalence is not None
    assert found.p_equivalence > 0.05
