"""What is required of verdicts: how it is read, refused and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from bakeoff.stats.requirements import (
    RELATIONS,
    Finding,
    RequirementError,
    check_requirements,
    judge_requirements,
    parse_requirement,
)
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

BASE = np.array([0.972, 0.974, 0.971, 0.973, 0.970])
BETTER = BASE + np.array([0.010, 0.011, 0.009, 0.010, 0.010])
LEVEL = BASE + np.array([0.0002, -0.0001, 0.0001, -0.0002, 0.0001])
NOISY = np.array([0.960, 0.981, 0.976, 0.990, 0.965])
AHEAD = BASE + np.array([0.006, -0.001, 0.005, 0.000, 0.004])
"""Not shown to differ, nor to be within a margin of 0.003; shown not to be behind by as much."""

Judge = Callable[..., tuple[Finding, ...]]


@pytest.fixture
def judge(make_results: Callable[..., list[TrialResult]]) -> Judge:
    """Return a function that judges requirements on made-up scores."""

    def judge(
        text: str, scores: Mapping[str, Sequence[float]], blocks: Sequence[str] = ("digits",), **rules: Any
    ) -> tuple[Finding, ...]:
        design = StudyDesign(blocks=blocks, arms=list(scores))
        summary = summarise(make_results(scores, blocks), design, Rules(**rules))
        return judge_requirements([checked(text, summary)], summary)

    return judge


def checked(text: str, summary: Summary) -> Any:
    requirement = parse_requirement(text)
    check_requirements([requirement], summary.arm_labels, summary.blocks, summary)
    return requirement


MET = {
    "better": {"better"},
    "better-or-equivalent": {"better", "level"},
    "equivalent": {"level"},
    "not-worse": {"better", "level", "ahead"},
    "not-better": {"level", "worse"},
    "worse-or-equivalent": {"level", "worse"},
    "worse": {"worse"},
}
SCORES = {"better": BETTER, "level": LEVEL, "ahead": AHEAD, "noisy": NOISY, "worse": BASE - 0.02 + (LEVEL - BASE)}


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("arm", SCORES)
def test_which_relations_are_met(arm: str, relation: str, judge: Judge) -> None:
    (found,) = judge(f"{arm} {relation} base", {arm: SCORES[arm], "base": BASE}, margin=0.003)
    assert found.is_met == (arm in MET[relation]), found.reason
    # The same, asked from the other side.
    mirrored = {"better": "worse", "worse": "better"}
    other = "-".join(mirrored.get(word, word) for word in relation.split("-"))
    (same,) = judge(f"base {other} {arm}", {arm: SCORES[arm], "base": BASE}, margin=0.003)
    assert same.is_met == found.is_met


def test_a_metric_that_is_to_be_low(judge: Judge) -> None:
    scores = {"ahead": AHEAD, "base": BASE}
    (found,) = judge("ahead not-worse base", scores, metric="loss", margin=0.003)
    assert (found.verdict, found.is_met) == ("inconclusive", True)
    (found,) = judge("base not-worse ahead", scores, metric="loss", margin=0.003)
    assert not found.is_met


def test_not_worse_by_a_posterior(judge: Judge) -> None:
    scores = {"ahead": AHEAD, "base": BASE}
    (found,) = judge("ahead not-worse base", scores, method="bayes", margin=0.003)
    assert (found.verdict, found.is_met) == ("inconclusive", True)
    assert "probability" in found.sentence


def test_both_failing_sides_and_what_would_settle_them(judge: Judge) -> None:
    (worse,) = judge("new better base", {"new": BASE - 0.01 + (LEVEL - BASE), "base": BASE})
    assert (worse.is_met, worse.verdict) == (False, "worse")
    assert "settled" in worse.remedy
    (unclear,) = judge("new better base", {"new": NOISY, "base": BASE})
    assert (unclear.is_met, unclear.verdict) == (False, "inconclusive")
    assert "80% power" in unclear.remedy
    (few,) = judge("new better base", {"new": BETTER[:2], "base": BASE[:2]})
    assert (few.is_met, few.verdict) == (False, "inconclusive")
    assert "3 replicates" in few.remedy


def test_every_block_counts_unless_one_is_named(judge: Judge) -> None:
    scores = {"new": BETTER, "base": BASE}
    found = judge("new better base", scores, blocks=("digits", "photos"))
    assert [(each.block, each.is_met) for each in found] == [("digits", True), ("photos", True)]
    (one,) = judge("new better base in photos", scores, blocks=("digits", "photos"))
    assert one.block == "photos"


def test_the_same_training_is_equivalent_and_not_better(make_results: Callable[..., list[TrialResult]]) -> None:
    results = make_results({"new": BASE, "base": BASE})
    shared = [
        TrialResult(**{**vars(each), "trial_id": f"trial {each.replicate}"}) for each in results
    ]  # as in a ledger, where arms of the same recipe share their trials
    design = StudyDesign(blocks=["digits"], arms=["new", "base"], same={"digits": [{"new", "base"}]})
    summary = summarise(shared, design, Rules(margin=0.01))
    texts = ["new not-worse base", "new better-or-equivalent base", "new better base"]
    found = judge_requirements([checked(text, summary) for text in texts], summary)
    assert [each.is_met for each in found] == [True, True, False]


def test_an_obstacle_meets_nothing(make_results: Callable[..., list[TrialResult]]) -> None:
    summary = summarise(
        make_results({"new": BETTER, "base": BASE}), StudyDesign(blocks=["digits"], arms=["new", "base"])
    )
    (found,) = judge_requirements([checked("new better base", summary)], summary, "unfinished.")
    assert (found.is_met, found.verdict, found.sentence) == (False, None, "unfinished.")


def test_names_with_spaces_are_quoted() -> None:
    found = parse_requirement("'new arm' not-worse \"the baseline\" in 'small batches'")
    assert (found.a, found.relation, found.b, found.block) == (
        "new arm",
        "not-worse",
        "the baseline",
        "small batches",
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "ARM RELATION ARM"),
        ("new better", "ARM RELATION ARM"),
        ("new better base on digits", "ARM RELATION ARM"),
        ("'new better base", "quote"),
        ("new beter base", "Did you mean 'better'?"),
        ("now better base", "Did you mean 'new'?"),
        ("new better new", "two different"),
        ("new better base in digit", "Did you mean 'digits'?"),
        ("new equivalent base", "decide.margin"),
        ("new not-worse base", "decide.margin"),
    ],
)
def test_what_is_refused(text: str, named: str, make_results: Callable[..., list[TrialResult]]) -> None:
    summary = summarise(
        make_results({"new": BETTER, "base": BASE}), StudyDesign(blocks=["digits"], arms=["new", "base"])
    )
    with pytest.raises(RequirementError) as caught:
        checked(text, summary)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pair_without_the_baseline_is_refused() -> None:
    with pytest.raises(RequirementError, match=r"decide\.against"):
        check_requirements(
            [parse_requirement("a better b")], ["a", "b", "base"], ["digits"], Rules(baseline="base", margin=0.1)
        )
