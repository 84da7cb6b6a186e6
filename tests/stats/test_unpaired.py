from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from bakeoff.stats.borrowed import UnpairedLender, choose_slope
from bakeoff.stats.effects import find_errors
from bakeoff.stats.family import decide_family
from bakeoff.stats.metrics import MetricRecord
from bakeoff.stats.needed import count_needed
from bakeoff.stats.results import Rules, TrialResult
from bakeoff.stats.summary import StudyDesign, summarise
from bakeoff.stats.unpaired import compare_unpaired, is_paired, measure_unpaired_spread
from bakeoff.stats.variance import measure_spread


def draw(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(0.9, 0.01, shape)


@pytest.mark.parametrize(("num_a", "num_b"), [(2, 2), (3, 10), (5, 5), (12, 4)])
def test_it_is_welchs_test(num_a: int, num_b: int) -> None:
    a, b = draw(1, num_a), 3 * draw(2, num_b)
    expected = ttest_ind(a, b, equal_var=False)
    found = compare_unpaired(a, b, confidence=0.9)
    low, high = expected.confidence_interval(0.9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx((low, high), rel=1e-9)
    assert found.n == min(num_a, num_b)
    assert found.correlation is None


def test_margins_are_tested_by_two_one_sided_tests() -> None:
    a, b = draw(3, 6), draw(4, 5)
    found = compare_unpaired(a, b, margin=0.02)
    one_sided = [
        ttest_ind(a + 0.02, b, equal_var=False, alternative="greater").pvalue,
        ttest_ind(a - 0.02, b, equal_var=False, alternative="less").pvalue,
    ]
    assert found.p_equivalence == pytest.approx(max(one_sided), rel=1e-9)
    sign = 1 if a.mean() > b.mean() else -1
    beyond = ttest_ind(sign * a - 0.02, sign * b, equal_var=False, alternative="greater").pvalue
    assert found.p_margin == pytest.approx(beyond, rel=1e-9)


def test_caution_never_lowers_p() -> None:
    for num_a, num_b in ((3, 3), (3, 10), (10, 5)):
        a, b = draw(5, num_a) + 0.01, draw(6, num_b)
        own, cautious = compare_unpaired(a, b), compare_unpaired(a, b, is_cautious=True)
        assert own.p is not None
        assert cautious.p is not None
        assert own.p < cautious.p


def test_constant_scores_are_compared_by_permutation() -> None:
    found = compare_unpaired([0.9] * 4, [0.8] * 4, margin=0.05)
    values = [0.9] * 4 + [0.8] * 4
    extreme = sum(
        abs(sum(values[i] for i in order[:4]) - sum(values[i] for i in order[4:])) > 0.39
        for order in {(*sorted(p[:4]), *sorted(p[4:])) for p in permutations(range(8))}
    )
    assert found.exact
    assert found.interval is None
    assert found.p == pytest.approx(extreme / 70)
    assert compare_unpaired([0.9] * 3, [0.9] * 5).p == 1.0
    (decision,) = decide_family([found])
    assert decision.verdict == "better"


def test_one_replicate_gives_no_p() -> None:
    found = compare_unpaired([0.9], [0.8, 0.81])
    assert (found.p, found.interval) == (None, None)
    (decision,) = decide_family([found])
    assert decision.verdict == "inconclusive"


def test_bad_scores_are_refused() -> None:
    for a, b in (([], [1.0]), ([np.nan, 1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="scores must be"):
            compare_unpaired(a, b)


def test_what_follows_from_a_comparison_uses_both_arms() -> None:
    a, b = draw(7, 3) + 0.005, draw(8, 10)
    found = compare_unpaired(a, b)
    errors = find_errors(found)
    assert errors is not None
    assert errors.mean == pytest.approx((a.var(ddof=1) / 3 + b.var(ddof=1) / 10) ** 0.5)
    assert errors.new == pytest.approx((a.var(ddof=1) + b.var(ddof=1)) ** 0.5)
    assert count_needed(found, level=0.05) is not None


def test_lent_variances_lie_between_an_arms_own_and_the_others() -> None:
    scores = {name: draw(9 + place, 5) for place, name in enumerate("abcd")}
    scores["a"] = 10 * scores["a"]
    lender = UnpairedLender(scores, slope=choose_slope(4, 6))
    wild, tame = lender.find_error("a", "b"), lender.find_error("b", "c")
    assert wild is not None
    assert tame is not None
    assert tame.variance < wild.variance < float(scores["a"].var(ddof=1) / 5 + scores["b"].var(ddof=1) / 5)
    assert UnpairedLender({"a": [1.0, 2.0], "b": [2.0, 1.0]}, slope=1.0).find_error("a", "b") is None


def test_many_replicates_lend_as_if_they_were_fewer() -> None:
    """What more scores of the others show must not make an arm of few scores look like them."""
    scores = {name: draw(20 + place, 30 if place else 3) for place, name in enumerate("abcd")}
    few = {name: values[:3] if name != "b" else values for name, values in scores.items()}
    one, other = (UnpairedLender(each, slope=1.0).find_error("a", "b") for each in (scores, few))
    assert one is not None
    assert other is not None
    assert one.weights_G.tolist() == other.weights_G.tolist()


def test_unpaired_spread_has_the_paired_ones_parts_if_arms_are_independent() -> None:
    rng = np.random.default_rng(10)
    image_N = rng.normal(0, 1, 300)
    a_RN, b_RN = (rng.normal(image_N * factor, 1, (40, 300)) + rng.normal(0, 0.1, (40, 1)) for factor in (1.0, 0.5))
    paired, unpaired = measure_spread(a_RN, b_RN, scope="seeds"), measure_unpaired_spread(a_RN, b_RN, scope="seeds")
    assert paired is not None
    assert unpaired is not None
    assert unpaired.difference == pytest.approx(paired.difference)
    assert unpaired.parts == pytest.approx(paired.parts, rel=0.3)
    assert unpaired.by_image / unpaired.num_replicates == pytest.approx(paired.by_image / paired.num_replicates)
    assert unpaired.num_replicates == pytest.approx(40)


def test_groups_of_images_count_as_groups() -> None:
    rng = np.random.default_rng(11)
    a_RN, b_SN, groups_N = rng.random((3, 40)) < 0.9, rng.random((5, 40)) < 0.8, np.repeat(np.arange(8), 5)
    spread = measure_unpaired_spread(a_RN, b_SN, unit=1.0, groups_N=groups_N)
    assert spread is not None
    assert (spread.num_images, spread.num_scored) == (8, 40)
    assert measure_unpaired_spread(a_RN[:1], b_SN) is None


@pytest.mark.parametrize(
    ("a", "b", "pairing", "expected"),
    [
        (range(5), range(5), "matched", True),
        (range(2), range(2), "matched", True),
        (range(5), range(4), "matched", True),
        (range(5), range(3, 8), "matched", False),
        (range(10), range(5), "matched", True),
        (range(10), range(4), "matched", False),
        (range(3), range(3, 6), "matched", False),
        (range(3), range(3, 6), "common", True),
        (range(3), range(3), "never", False),
    ],
)
def test_replicates_pair_if_enough_of_them_match(a: range, b: range, pairing: Any, expected: bool) -> None:
    assert is_paired(a, b, pairing) is expected
    assert is_paired(b, a, pairing) is expected


def make_results(seeds: dict[str, list[int]]) -> list[TrialResult]:
    rng = np.random.default_rng(12)
    return [
        TrialResult(
            trial_id=f"{arm}{seed}",
            block="",
            arm=arm,
            replicate=seed,
            state="done",
            metrics={"test": {"mine": float(rng.normal(place, 0.3))}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for place, (arm, own) in enumerate(seeds.items())
        for seed in own
    ]


RECORD = MetricRecord(
    name="mine",
    label="mine",
    summary="",
    higher_is_better=True,
    is_share=False,
    source="",
    compute=len,
    chance=len,
    is_column=True,
)


def test_a_family_can_mix_pairs() -> None:
    seeds = {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3], "c": [7, 8, 9]}
    design = StudyDesign(blocks=[""], arms=list(seeds))
    rules = Rules(metric="mine", record=RECORD, scope="seeds", pairing="matched")
    summary = summarise(make_results(seeds), design, rules)
    assert [verdict.unpaired for verdict in summary.verdicts] == [None, (4, 3), (4, 3)]
    # No third arm has the seeds of a and b, so these two borrow nothing.
    assert [verdict.borrowed for verdict in summary.verdicts] == [False, True, True]
    assert summary.verdicts[1].seen_from("c").unpaired == (3, 4)
    assert summary.verdicts[1].verdict == "worse"
    assert summary.measure.label == "mine"


def test_the_paired_method_is_welchs_where_nothing_matches() -> None:
    seeds = {"a": [0, 1, 2], "b": [3, 4, 5, 6], "c": [7, 8, 9]}
    results = make_results(seeds)
    rules = Rules(metric="mine", record=RECORD, scope="seeds", pairing="matched", method="paired")
    summary = summarise(results, StudyDesign(blocks=[""], arms=list(seeds)), rules)
    scores = {arm: [r.metrics["test"]["mine"] for r in results if r.arm == arm] for arm in seeds}
    for verdict in summary.verdicts:
        expected = ttest_ind(scores[verdict.a], scores[verdict.b], equal_var=False)
        assert verdict.p == pytest.approx(expected.pvalue, rel=1e-9)
        assert not verdict.borrowed
