from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.stats.effects import borrow_errors, correct_winner
from bakeoff.stats.metrics import MetricError
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

GOOD, FAIR, POOR = [0.980, 0.978, 0.981, 0.979], [0.970, 0.969, 0.970, 0.970], [0.930, 0.927, 0.932, 0.928]


def make_trial(arm: str, replicate: int, score: float | None, block: str = "digits", test: bool = True) -> TrialResult:
    metrics = {}
    if score is not None:
        metrics = {"train": {"accuracy": score + 0.01, "loss": 1 - score}}
        metrics["validation"] = {"accuracy": score - 0.001, "loss": 1.1 - score}
        if test:
            metrics["test"] = {"accuracy": score, "loss": 1.2 - score}
    return TrialResult(
        trial_id=f"{block}-{arm}-{replicate}",
        block=block,
        arm=arm,
        replicate=replicate,
        state="failed" if score is None else "done",
        reason="loss became NaN" if score is None else "",
        metrics=metrics,
        epochs_trained=10 + replicate,
        best_epoch=9,
        seconds=2.0,
    )


def make_results(scores: Mapping[str, Sequence[float | None]], **options: object) -> list[TrialResult]:
    return [
        make_trial(arm, replicate, value, **options)  # type: ignore[arg-type]
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
    ]


def summarise_one(
    scores: Mapping[str, Sequence[float | None]],
    same: Mapping[str, Sequence[tuple[str, ...]]] | None = None,
    **rules: Any,
) -> Summary:
    return summarise(
        make_results(scores), StudyDesign(blocks=["digits"], arms=list(scores), same=same or {}), Rules(**rules)
    )


def test_means_and_spreads_by_hand() -> None:
    arm = summarise_one({"a": [0.1, 0.2, 0.3]}).arms[0]
    assert (arm.replicates, arm.failed) == (3, 0)
    assert arm.test["accuracy"].mean == pytest.approx(0.2)
    assert arm.test["accuracy"].sd == pytest.approx(0.1)
    assert arm.train["loss"].mean == pytest.approx(0.8)
    assert arm.epochs is not None
    assert arm.epochs.mean == 11
    assert arm.scores == {0: 0.1, 1: 0.2, 2: 0.3}


def test_single_replicate_has_no_spread_and_no_verdict() -> None:
    summary = summarise_one({"a": [0.9], "b": [0.8]})
    assert summary.arms[0].test["accuracy"].sd is None
    assert summary.verdicts[0].verdict == "inconclusive"
    assert "under 3 replicates" in summary.verdicts[0].reason
    assert "under 3 replicates" in summary.answers[0].sentence


def test_every_pair_of_a_block_gets_a_verdict_in_declared_order() -> None:
    summary = summarise_one({"poor": POOR, "good": GOOD, "fair": FAIR}, method="paired")
    assert [(v.a, v.b) for v in summary.verdicts] == [("poor", "good"), ("poor", "fair"), ("good", "fair")]
    assert [v.verdict for v in summary.verdicts] == ["worse", "worse", "better"]
    alone = compare_pair(POOR, GOOD)
    assert summary.verdicts[0].difference == pytest.approx(alone.difference)
    assert summary.verdicts[0].p == pytest.approx(alone.p)


def test_a_winner_is_corrected_for_the_level_that_its_family_asked_for() -> None:
    scores = {"a": [0.97, 0.95, 0.96, 0.975], "b": [0.94, 0.93, 0.925, 0.935], "c": [0.95] * 4}
    summary = summarise_one(scores, method="paired")
    strict = min(summary.verdicts, key=lambda verdict: verdict.p or 0.0)
    pairs = [compare_pair(scores[verdict.a], scores[verdict.b]) for verdict in summary.verdicts]
    place = summary.verdicts.index(strict)
    pair, error = pairs[place], borrow_errors(pairs)[place]
    assert strict.difference_corrected == pytest.approx(correct_winner(pair, 0.05 / 3, error), rel=1e-6)
    assert abs(strict.difference_corrected or 0.0) < 0.999 * abs(correct_winner(pair, 0.05, error) or 0.0)


def test_lower_loss_wins() -> None:
    summary = summarise_one({"poor": POOR, "good": GOOD}, metric="loss")
    assert summary.answers[0].best == "good"
    assert summary.verdicts[0].verdict == "worse"
    assert summary.verdicts[0].difference == pytest.approx(0.05025)


def test_verdicts_use_the_test_split_only_when_all_were_examined() -> None:
    scores = {"a": GOOD, "b": FAIR}
    assert summarise_one(scores).split == "test"
    partly = [*make_results(scores)[:-1], make_trial("b", 3, 0.970, test=False)]
    summary = summarise(partly, StudyDesign(blocks=["digits"], arms=["a", "b"]))
    assert summary.split == summary.verdicts[0].split == "validation"
    assert "validation accuracy" in summary.answers[0].sentence
    assert summary.answers[0].score is not None
    assert summary.answers[0].score.mean == pytest.approx(0.9785)


def test_pairs_use_the_replicates_both_have() -> None:
    summary = summarise_one({"a": [0.98, None, 0.97, 0.99, 0.98], "b": [0.96, 0.10, 0.95, None, 0.97]})
    verdict = summary.verdicts[0]
    assert verdict.replicates == 3
    assert verdict.difference == pytest.approx((0.02 + 0.02 + 0.01) / 3)
    assert [arm.failed for arm in summary.arms] == [1, 1]
    assert "1 of 5 trials" in summary.answers[0].sentence


def test_arm_that_failed_entirely_appears_with_zero_replicates() -> None:
    summary = summarise_one({"a": GOOD, "dead": [None] * 4, "b": POOR})
    dead = summary.arms[1]
    assert (dead.replicates, dead.failed, dict(dead.test), dead.epochs) == (0, 4, {}, None)
    answer = summary.answers[0]
    assert (answer.best, answer.worse, answer.missing) == ("a", ("b",), ("dead",))
    assert re.search(r"No trial .*\bdead\b", answer.sentence)
    assert [(v.a, v.b) for v in summary.verdicts] == [("a", "b")]
    (alone,) = summarise_one({"a": GOOD, "b": POOR}).verdicts
    assert summary.verdicts[0].p_adjusted == pytest.approx(3 * (alone.p_adjusted or 0))  # it still counts in the family


def test_nothing_done_is_no_answer() -> None:
    for results in ([], make_results({"a": [None], "b": [None]})):
        summary = summarise(results, StudyDesign(blocks=["digits"], arms=["a", "b"]))
        answer = summary.answers[0]
        assert (answer.best, answer.score, answer.missing) == (None, None, ("a", "b"))
        assert "no answer" in answer.sentence
        assert summary.split == "validation"


def test_best_is_not_an_arm_shown_to_be_worse() -> None:
    # a's mean over its own replicates is the best, but it loses wherever both were measured.
    a = [0.90, 0.90, 0.90, 0.90, 0.99, 0.99, 0.99, 0.99]
    b = [0.912, 0.911, 0.913, 0.912, None, None, None, None]
    summary = summarise_one({"a": a, "b": b})
    assert summary.arms[0].test["accuracy"].mean > summary.arms[1].test["accuracy"].mean
    assert summary.answers[0].best == "b"


def test_equal_arms_are_equivalent_where_a_margin_is_declared() -> None:
    assert summarise_one({"a": [*GOOD, 0.98], "b": [*GOOD, 0.98]}, margin=0.002).answers[0].equivalent == ("b",)
    answer = summarise_one({"a": GOOD, "b": GOOD}).answers[0]
    assert (answer.equivalent, answer.not_worse) == ((), ("b",))
    assert "level with b" in answer.sentence


def test_seen_from_the_other_side() -> None:
    verdict = summarise_one({"good": GOOD, "poor": POOR}).verdicts[0]
    back = verdict.seen_from("poor")
    assert (back.a, back.b, back.verdict) == ("poor", "good", "worse")
    assert back.interval is not None
    assert verdict.interval is not None
    assert back.interval == (-verdict.interval[1], -verdict.interval[0])
    assert back.seen_from("good") == verdict
    assert verdict.seen_from("good") is verdict


def test_blocks_are_judged_apart_and_counted_together() -> None:
    results = make_results({"a": GOOD, "b": POOR}, block="x") + make_results({"a": GOOD, "b": GOOD}, block="y")
    summary = summarise(results, StudyDesign(blocks=["x", "y"], arms=["a", "b"]))
    assert [(v.block, v.verdict) for v in summary.verdicts] == [("x", "better"), ("y", "inconclusive")]
    assert [answer.block for answer in summary.answers] == ["x", "y"]
    assert "2 blocks: a." in summary.overall
    assert "a (2 of 2)" in summary.overall
    assert len(summary.arms_of("x")) == 2


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (make_trial("stranger", 0, 0.5), "no declared block and arm"),
        (make_trial("a", 0, 0.5), "two results"),
    ],
)
def test_results_that_do_not_belong_are_refused(extra: TrialResult, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summarise([*make_results({"a": GOOD}), extra], StudyDesign(blocks=["digits"], arms=["a"]))


def test_value_that_is_not_finite_is_refused_by_name() -> None:
    with pytest.raises(MetricError, match=r"digits-a-0 .*train accuracy = nan"):
        summarise([make_trial("a", 0, math.nan)], StudyDesign(blocks=["digits"], arms=["a"]))


def make_folds(scores: Mapping[str, Sequence[Sequence[float | None]]]) -> list[TrialResult]:
    """Results of arms over replicates x folds: scores of held-out folds; on the common test split, the opposite."""
    trials = [
        replace(make_trial(arm, replicate, value), fold=fold, trial_id=f"{arm}{replicate}.{fold}")
        for arm, replicates in scores.items()
        for replicate, folds in enumerate(replicates)
        for fold, value in enumerate(folds)
    ]
    return [
        replace(each, metrics={**each.metrics, "held-out": each.metrics["test"], "test": {"accuracy": -score}})
        if (score := each.metrics.get("test", {}).get("accuracy"))
        else each
        for each in trials
    ]


FOLDED = StudyDesign(blocks=["digits"], arms=["a", "b"], num_folds=3)
FOLDS_A = [[0.98, 0.96, 0.97], [0.975, 0.965, 0.985]]
FOLDS_B = [[0.97, 0.955, 0.965], [0.972, 0.955, 0.97]]


def test_folds_are_compared_fold_by_fold_with_the_correction() -> None:
    results = make_folds({"a": FOLDS_A, "b": FOLDS_B})
    summary = summarise(results, FOLDED)
    verdict = summary.verdicts[0]
    expected = compare_pair([v for f in FOLDS_A for v in f], [v for f in FOLDS_B for v in f], test_share=1 / 2)
    assert (verdict.replicates, verdict.num_folds, summary.num_folds) == (6, 3, 3)
    assert (verdict.p, verdict.interval) == (pytest.approx(expected.p), pytest.approx(expected.interval))
    assert summary.arms[0].scores == pytest.approx({0: 0.97, 1: 0.975})
    assert summary.arms[0].fold_scores[1, 2] == 0.985
    assert summary.arms[0].replicates == 6


def test_a_fold_that_failed_is_left_out_of_the_pair_alone() -> None:
    holed = [[0.98, None, 0.97], [0.975, 0.965, 0.985]]
    summary = summarise(make_folds({"a": holed, "b": FOLDS_B}), FOLDED)
    assert summary.verdicts[0].replicates == 5
    assert summary.arms[0].scores[0] == pytest.approx(0.975)
    assert "left out" in summary.answers[0].sentence


def test_a_fold_that_failed_counts_as_chance_in_its_fold() -> None:
    holed = [[0.98, None, 0.97], [0.975, 0.965, 0.985]]
    results = make_folds({"a": holed, "b": FOLDS_B})
    summary = summarise(results, replace(FOLDED, num_classes={"digits": 4}))
    filled = [0.98, 0.25, 0.97, 0.975, 0.965, 0.985]
    expected = compare_pair(filled, [v for f in FOLDS_B for v in f], test_share=1 / 2)
    assert summary.verdicts[0].interval == pytest.approx(expected.interval)


def test_verdicts_of_folds_rest_on_held_out_folds_never_on_the_common_test_split() -> None:
    results = make_folds({"a": FOLDS_A, "b": FOLDS_B})
    summary = summarise(results, replace(FOLDED, test_shares={"digits": 0.7}))
    assert (summary.split, summary.verdicts[0].split, summary.test_shares) == ("held-out", "held-out", {"digits": 0.7})
    assert summary.arms[0].on("held-out")["accuracy"].mean == pytest.approx(0.9725)
    assert summary.arms[0].test["accuracy"].mean == pytest.approx(-0.9725)
    values = [[v for f in folds for v in f] for folds in (FOLDS_A, FOLDS_B)]
    assert summary.verdicts[0].p == pytest.approx(compare_pair(*values, test_share=0.7).p)
    unscored = [replace(r, metrics={k: v for k, v in r.metrics.items() if k != "held-out"}) for r in results]
    assert summarise(unscored, FOLDED).split == "validation"


def test_folds_must_fit_the_study() -> None:
    results = make_folds({"a": FOLDS_A})
    with pytest.raises(ValueError, match=r"fold 0 .*None folds"):
        summarise(results, StudyDesign(blocks=["digits"], arms=["a"]))
    with pytest.raises(ValueError, match=r"fold None .* 3 folds"):
        summarise(make_results({"a": GOOD}), StudyDesign(blocks=["digits"], arms=["a"], num_folds=3))
    with pytest.raises(ValueError, match=r"two results .* fold 0"):
        summarise([*results, results[0]], StudyDesign(blocks=["digits"], arms=["a"], num_folds=3))
    with pytest.raises(ValueError, match="at least 2"):
        summarise([], StudyDesign(blocks=["digits"], arms=["a"], num_folds=1))


def test_verdicts_carry_the_margin_they_were_decided_by() -> None:
    assert summarise_one({"a": GOOD, "b": FAIR}, margin=0.002).verdicts[0].margin == 0.002


def test_a_margin_of_a_whole_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"accuracy .* 500 points"):
        summarise_one({"a": GOOD, "b": POOR}, margin=5.0)
    assert summarise_one({"a": GOOD, "b": POOR}, margin=5.0, metric="loss").margin == 5.0


SAME = {"digits": [("good", "alias")]}


def test_arms_that_are_the_same_training_get_no_verdict_on_each_other() -> None:
    scores = {"good": GOOD, "alias": GOOD, "poor": POOR}
    summary = summarise_one(scores, same=SAME, margin=0.01)
    assert [(v.a, v.b) for v in summary.verdicts] == [("good", "poor"), ("alias", "poor")]
    (answer,) = summary.answers
    assert (answer.best, answer.not_worse, answer.equivalent, answer.worse) == ("good", ("alias",), (), ("poor",))
    assert "alias" not in answer.sentence
    assert len(summarise_one(scores, margin=0.01).verdicts) == 3  # told nothing, it judges every pair


def test_where_all_arms_are_the_same_training_there_is_nothing_to_compare() -> None:
    summary = summarise_one({"good": GOOD, "alias": GOOD}, same=SAME)
    assert summary.verdicts == ()
    assert "nothing to compare" in summary.answers[0].sentence


def test_the_same_training_as_the_baseline_is_not_compared_with_it() -> None:
    summary = summarise_one({"good": GOOD, "alias": GOOD, "poor": POOR}, same=SAME, baseline="good")
    assert [(v.a, v.b) for v in summary.verdicts] == [("poor", "good")]
    assert summary.answers[0].worse == ("poor",)
