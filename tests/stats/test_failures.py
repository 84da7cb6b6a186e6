"""Failed replicates: chance level against guessing, Clopper and Pearson against SciPy, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from bakeoff.stats.failures import chance_level, clopper_pearson
from bakeoff.stats.metrics import METRICS, MetricRecord, find_metric, score_by
from bakeoff.stats.results import TrialResult
from bakeoff.stats.sequential import SequentialDesign
from bakeoff.stats.summary import Rules, StudyDesign, Summary, summarise


@pytest.mark.parametrize("record", METRICS, ids=lambda record: record.name)
@pytest.mark.parametrize("num_classes", [2, 10])
def test_chance_level_is_what_guessing_scores(record: MetricRecord, num_classes: int) -> None:
    labels = np.arange(40_000) % num_classes
    guesses = np.full((len(labels), num_classes), 1 / num_classes)
    rng = np.random.default_rng(0)
    if record.name == "ece":  # of one who is sure of a class drawn at random
        guesses = np.eye(num_classes)[rng.integers(num_classes, size=len(labels))]
    elif record.is_share:  # equal probabilities name the first classes only: have the named ones drawn
        guesses += 1e-9 * rng.random(guesses.shape)
    found = score_by(record.name, guesses, labels)
    assert found == pytest.approx(chance_level(record, num_classes), abs=0.01 if record.is_share else 1e-6)


def test_loss_at_chance_is_the_logarithm_of_the_classes() -> None:
    assert chance_level(find_metric("loss"), 10) == pytest.approx(math.log(10))
    with pytest.raises(ValueError, match="needs a class"):
        chance_level(find_metric("loss"), 0)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (2, 5), (1, 20), (0, 1), (37, 100)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_scipy_s(successes: int, n: int, confidence: float) -> None:
    expected = binomtest(successes, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(successes, n, confidence) == pytest.approx((expected.low, expected.high))


def test_nothing_tried_says_nothing_and_nonsense_is_refused() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    for successes, n, confidence in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(ValueError, match="must lie in"):
            clopper_pearson(successes, n, confidence)


def judge(
    a: list[float | None],
    b: list[float | None],
    *more: list[float | None],
    by_image: Mapping[str, NDArray[Any]] | None = None,
    crashed: str = "",
    **rules: Any,
) -> Summary:
    results = [
        TrialResult(
            trial_id=f"{arm}{replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="failed" if score is None else "done",
            metrics={}
            if score is None
            else {"validation": {"accuracy": score}, "test": {"accuracy": score, "loss": 0.1}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
            crashed=score is None and arm in crashed,
        )
        for arm, scores in zip("abcdef", (a, b, *more), strict=False)
        for replicate, score in enumerate(scores)
    ]
    design = StudyDesign(blocks=["digits"], arms=list("abcdef"[: 2 + len(more)]), num_classes={"digits": 10})
    return summarise(results, design, Rules(**rules), by_image=by_image)


STEADY: list[float | None] = [0.90, 0.91, 0.905, 0.90, 0.91]
LUCKY: list[float | None] = [0.95, None, 0.952, None, 0.951]
"""Ahead wherever it does not fail."""


def test_a_failed_replicate_counts_as_chance_and_its_rate_stands_in_the_headline() -> None:
    summary = judge(LUCKY, STEADY)
    (verdict,) = summary.verdicts
    filled = [score or 0.1 for score in LUCKY]
    assert (verdict.replicates, verdict.verdict) == (5, "inconclusive")
    assert verdict.difference == pytest.approx(np.mean(filled) - np.mean([score or 0 for score in STEADY]))
    arm = summary.arms[0]
    assert (arm.replicates, arm.failed, arm.scores[1]) == (3, 2, 0.1)
    assert arm.test["accuracy"].mean == pytest.approx(np.mean(filled))
    assert arm.test["loss"].mean == pytest.approx((3 * 0.1 + 2 * math.log(10)) / 5)
    answer = summary.answers[0]
    assert answer.best == "b"
    assert "a failed in 2 of 5 trials (40%, 95% interval 5 to 85%)" in answer.sentence
    assert "chance level, 10.0%" in answer.sentence


def test_excluded_failures_make_the_verdict_conditional_and_say_so() -> None:
    summary = judge(LUCKY, STEADY, failed="exclude")
    assert (summary.verdicts[0].replicates, summary.verdicts[0].verdict) == (3, "better")
    sentence = summary.answers[0].sentence
    assert "2 of 5 trials" in sentence
    assert "left out" in sentence
    assert "chance level" not in sentence


def test_a_failed_replicate_contributes_chance_on_every_image() -> None:
    rng = np.random.default_rng(0)
    by_image = {f"{arm}{run}": rng.random(500) < 0.9 for arm in "ab" for run in range(5)}
    summary = judge(LUCKY, STEADY, by_image={name: each for name, each in by_image.items() if name not in ("a1", "a3")})
    arm = summary.arms[0]
    assert arm.by_image.keys() == arm.scores.keys() == set(range(5))
    np.testing.assert_allclose(arm.by_image[1], np.full(500, 0.1))
    assert arm.trained_scores.keys() == {(0, 0), (2, 0), (4, 0)}
    assert summary.verdicts[0].scope == "images"
    excluded = judge(LUCKY, STEADY, failed="exclude", by_image=by_image).arms[0]
    assert excluded.by_image.keys() == {0, 2, 4}


def test_an_arm_that_always_fails_is_worse_not_missing() -> None:
    answer = judge([None] * 5, STEADY).answers[0]
    assert (answer.best, answer.worse, answer.missing) == ("b", ("a",), ())


def test_an_arm_that_crashed_in_every_trial_has_no_verdict() -> None:
    answer = judge(STEADY, [None] * 5, crashed="b").answers[0]
    assert (answer.best, answer.worse, answer.missing) == ("a", (), ("b",))
    assert "no verdict on b:" in answer.sentence
    assert "crashed" in answer.sentence


def test_a_crash_among_results_counts_as_chance() -> None:
    crashed, diverged = (judge([*STEADY[:4], None], STEADY, crashed=arms) for arms in ("a", ""))
    assert crashed.arms == diverged.arms


@pytest.mark.parametrize("method", ["paired", "bayes"])
@pytest.mark.parametrize("race", [None, SequentialDesign(at_least=3, at_most=8)], ids=["fixed", "race"])
def test_two_arms_that_never_succeeded_are_not_equivalent(method: str, race: SequentialDesign | None) -> None:
    steady = [*STEADY, 0.9, 0.91, 0.905]
    summary = judge(steady, [None] * 8, [None] * 8, margin=0.02, method=method, race=race)
    assert {(v.a, v.b): v.verdict for v in summary.verdicts} == {("a", "b"): "better", ("a", "c"): "better"}
    sentence = summary.answers[0].sentence
    assert "Between b and c" in sentence
    assert "equivalent" not in sentence


def test_nor_on_their_test_images() -> None:
    by_image = {f"a{run}": np.random.default_rng(run).random(2_000) < 0.9 for run in range(5)}
    summary = judge(STEADY, [None] * 5, [None] * 5, margin=0.02, by_image=by_image)
    assert summary.verdicts[0].scope == "images"
    assert [(v.a, v.b) for v in summary.verdicts] == [("a", "b"), ("a", "c")]


def test_replicates_in_which_both_failed_count_where_another_did_not() -> None:
    half: list[float | None] = [0.9, None, 0.91, None, 0.9]
    assert judge(half, half).verdicts[0].replicates == 5
    # What both have are failures alone.
    assert judge([None, None, None, 0.9, 0.9], [None] * 3, STEADY).verdicts[0].b == "c"


def test_arms_that_never_succeeded_stand_first_where_all_others_are_worse() -> None:
    sentence = judge([0.01, 0.02, 0.01], [None] * 3, [None] * 3).answers[0].sentence
    assert "better than c (10.0%)" in sentence
    assert "as did c" in sentence


def test_loss_fails_upwards() -> None:
    summary = judge(LUCKY, STEADY, metric="loss")
    assert summary.arms[0].scores[1] == pytest.approx(math.log(10))


def test_trials_that_were_not_run_are_no_failures() -> None:
    summary = judge(LUCKY[:1], STEADY)
    assert (summary.arms[0].failed, summary.verdicts[0].replicates) == (0, 1)
    assert "failed" not in summary.answers[0].sentence


def test_dropping_the_worst_seeds_makes_no_winner() -> None:
    """Equal arms; the worst 30% of a's seeds end in NaN. Dropped pairwise, a wins far too often."""
    rng = np.random.default_rng(0)
    wins = {"worst": 0, "exclude": 0}
    for _ in range(150):
        a, b = rng.normal(0.9, 0.01, (2, 10))
        lost = a < np.sort(a)[3]
        scores: list[float | None] = [None if gone else float(score) for score, gone in zip(a, lost, strict=True)]
        for mode in wins:
            wins[mode] += judge(scores, list(b), failed=mode).verdicts[0].verdict == "better"
    assert wins["worst"] == 0
    assert wins["exclude"] > 15


@pytest.mark.parametrize("num_failing", [3, 4, 5])
def test_one_arm_is_never_left_to_more_arms(make_results: Callable[..., list[TrialResult]], num_failing: int) -> None:
    scores: dict[str, list[float | None]] = {f"arm {arm}": [None] * 3 for arm in range(num_failing + 1)}
    scores["arm 0"] = [0.9] * 3
    design = StudyDesign(blocks=["digits"], arms=list(scores), num_classes={"digits": 10})
    sentence = summarise(make_results(scores), design).answers[0].sentence
    named = sentence.count("of 3 (100%") + sentence.count("of 3 trials (100%")
    assert (named, "more arms" in sentence) == ((num_failing, False) if num_failing < 5 else (3, True))
