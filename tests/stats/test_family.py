from __future__ import annotations

import numpy as np
import pytest

from bakeoff.stats.family import adjust_by_one_step, adjust_holm, count_left, decide_family, list_family
from bakeoff.stats.pairs import PairComparison, compare_pair

BASE = np.array([0.90, 0.91, 0.92, 0.93, 0.94])
NOISE = np.array([0.001, -0.001, 0.0005, -0.0005, 0.0])


def compare(shift: float, noise: np.ndarray = NOISE, **options: object) -> PairComparison:
    return compare_pair(BASE + shift + noise, BASE, **options)  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    # Holm (1979): smallest times 4, next times 3, ..., never falling.
    assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_holm([0.9, 0.8]) == [1.0, 1.0]
    assert adjust_holm([]) == []


def test_direction_follows_the_metric() -> None:
    assert decide_family([compare(0.02)])[0].verdict == "better"
    assert decide_family([compare(-0.02)])[0].verdict == "worse"
    assert decide_family([compare(0.02, higher_is_better=False)])[0].verdict == "worse"
    assert decide_family([compare(-0.02, higher_is_better=False)])[0].verdict == "better"


def test_small_difference_is_equivalent_only_inside_a_declared_margin() -> None:
    assert decide_family([compare(0.0001, margin=0.005)])[0].verdict == "equivalent"
    assert decide_family([compare(0.0001)])[0].verdict == "inconclusive"


def test_real_but_immaterial_difference_is_equivalent() -> None:
    comparison = compare(0.003, noise=NOISE / 10, margin=0.005)
    assert comparison.p is not None
    assert comparison.p < 0.001
    assert decide_family([comparison])[0].verdict == "equivalent"


def test_family_makes_a_single_finding_harder() -> None:
    finding = compare(0.001)
    assert finding.p is not None
    assert 0.01 < finding.p < 0.05
    assert decide_family([finding])[0].verdict == "better"
    among_many = decide_family([finding, *[compare(0.0)] * 9])[0]
    assert among_many.verdict == "inconclusive"
    assert among_many.p_adjusted == pytest.approx(10 * finding.p)
    assert "0.47 adjusted" in among_many.reason
    assert among_many.needed is not None


def test_equivalence_is_adjusted_too() -> None:
    near = compare(0.0, margin=0.0008)
    assert near.p_equivalence is not None
    assert 0.01 < near.p_equivalence < 0.05
    assert decide_family([near])[0].verdict == "equivalent"
    assert decide_family([near] * 9)[0].verdict == "inconclusive"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_verdict_under_three_replicates(n: int) -> None:
    huge = compare_pair(list(range(10, 10 + n)), [0.001 * i for i in range(n)], margin=1.0)
    decision = decide_family([huge])[0]
    assert decision.verdict == "inconclusive"
    assert "under 3 replicates" in decision.reason
    assert decision.p_adjusted is decision.needed is None


def test_untestable_pairs_still_count_in_the_family() -> None:
    finding = compare(0.02)
    assert finding.p is not None
    decisions = decide_family([finding, compare_pair([], []), compare_pair([1.0, 2.0], [0.0, 0.9999999])])
    assert decisions[0].p_adjusted == pytest.approx(3 * finding.p)


def test_identical_arms() -> None:
    assert decide_family([compare_pair(BASE, BASE, margin=0.001)])[0].verdict == "equivalent"
    decision = decide_family([compare_pair(BASE, BASE)])[0]
    assert decision.verdict == "inconclusive"
    assert "all 5 replicates" in decision.reason


def test_identical_differences_need_six_replicates() -> None:
    five = decide_family([compare_pair([0.9] * 5, [0.8] * 5)])[0]
    six = decide_family([compare_pair([0.9] * 6, [0.8] * 6)])[0]
    assert (five.verdict, six.verdict) == ("inconclusive", "better")
    assert "too few" in five.reason


def test_false_winners_among_equal_arms_stay_rare() -> None:
    # 300 null studies of 4 arms and 5 replicates: expected at most 15 with a false winner; 26 is 3 sd above.
    rng, num_false = np.random.default_rng(7), 0
    for _ in range(300):
        arms = rng.normal(size=(4, 5))
        family = [compare_pair(arms[i], arms[j]) for i in range(4) for j in range(i)]
        num_false += any(d.verdict in ("better", "worse") for d in decide_family(family))
    assert num_false <= 26


def test_family_is_all_pairs_or_all_against_a_baseline() -> None:
    assert list_family(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert list_family(["a", "b", "c"], "b") == [("a", "b"), ("c", "b")]
    assert list_family(["a"], "a") == list_family([]) == []
    with pytest.raises(ValueError, match="must be one"):
        list_family(["a"], "z")


def test_reasons_speak_of_folds() -> None:
    few = decide_family([compare_pair([0.9], [0.8], test_share=0.25)])[0]
    assert few.reason.startswith("under 3 folds")
    same = decide_family([compare_pair([0.9] * 10, [0.8] * 10, test_share=0.25)])[0]
    assert (same.verdict, same.p_adjusted) == ("inconclusive", 1.0)
    assert "folds" in same.reason


def test_folds_need_whole_replicates() -> None:
    differences = np.tile([1.0, -1.0], 5) * 0.9**0.5 + 1.45
    comparison = compare_pair(differences, np.zeros(10), test_share=1 / 9)
    runs, replicates = (decide_family([comparison] * 5, runs_per_replicate=k)[0].needed for k in (1, 10))
    assert runs is not None
    assert replicates is not None
    assert runs.least is not None
    assert replicates.least == -(-runs.least // 10)


def test_a_larger_family_and_a_smaller_level_can_be_asked_for() -> None:
    finding = compare(0.001)
    assert finding.p is not None
    decision = decide_family([finding], num_pairs=10)[0]
    assert (decision.verdict, decision.p_adjusted) == ("inconclusive", pytest.approx(10 * finding.p))
    assert decide_family([finding], level=finding.p / 2)[0].verdict == "inconclusive"
    assert decide_family([finding], level=finding.p * 2)[0].verdict == "better"
    assert adjust_holm([0.01, 0.02], 5) == pytest.approx([0.05, 0.08])


def test_better_and_better_by_more_than_the_margin_are_two_findings() -> None:
    near, far = compare(0.0012, margin=0.001), compare(0.02, margin=0.001)
    near_decision, far_decision = decide_family([near, far])
    assert (near_decision.verdict, far_decision.verdict) == ("better", "better")
    assert near_decision.p_margin_adjusted is not None
    assert far_decision.p_margin_adjusted is not None
    assert near_decision.p_margin_adjusted > 0.05 > far_decision.p_margin_adjusted


def test_not_being_behind_is_corrected_for_all_pairs() -> None:
    ahead = compare(0.0004, margin=0.001)
    assert ahead.p_behind is not None
    for adjusted in decide_family([ahead, ahead, ahead]):
        assert adjusted.p_behind_adjusted == pytest.approx(3 * ahead.p_behind)


def test_once_a_pair_differs_others_count_as_fewer_if_their_guard_agrees() -> None:
    """Four arms: 6 pairs, then (4 - 1)^2 / 2 = 4.5, between 6 and the 3 pairs of three arms."""
    assert count_left(4) == 4.5
    p_values, guarded = [0.001, 0.010, 0.010, 0.9, 0.9, 0.9], [0.5, 0.04, 0.055, 1, 1, 1]
    found = adjust_by_one_step(p_values, guarded, 4.5)
    assert found == pytest.approx([0.006, 0.045, 0.055, 1, 1, 1])
    assert adjust_by_one_step([0.01] + [0.9] * 5, [0.0] * 6, 4.5) == pytest.approx([0.06] + [1] * 5)
    assert adjust_by_one_step([], [], 4.5) == []


def test_what_is_found_last_is_not_counted_as_less_than_what_is_found_first() -> None:
    found = adjust_by_one_step([0.004, 0.005, 0.9], [0.0] * 3, 0.5)
    assert found == pytest.approx([0.012, 0.012, 0.45])
