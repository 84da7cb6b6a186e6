"""Steps of a chain against SciPy's paired t test and Holm's correction by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.family import adjust_holm
from bakeoff.stats.steps import Link, compare_steps
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

SCORES = {
    "1.0": [0.900, 0.904, 0.899, 0.903, 0.901],
    "1.1": [0.905, 0.908, 0.906, 0.907, 0.908],
    "1.2": [0.906, 0.907, 0.906, 0.908, 0.907],
    "2.0": [0.890, 0.895, 0.893, 0.889, 0.894],
}
LINKS = (
    Link(arm="1.0"),
    Link(arm="1.1", base="1.0", start="1.0", change="epochs=2"),
    Link(arm="1.2", base="1.1", start="1.0", change="epochs=3"),
    Link(arm="2.0", base="1.0", start="1.0", change="epochs=4"),
)


@pytest.fixture
def make_summary(make_results: Callable[..., list[TrialResult]]) -> Callable[..., Summary]:
    """Return a function that summarises SCORES, the same in every block."""

    def call(blocks: Sequence[str] = ("digits",), **rules: Any) -> Summary:
        return summarise(make_results(SCORES, blocks), StudyDesign(blocks=blocks, arms=list(SCORES)), Rules(**rules))

    return call


def test_steps_are_paired_t_tests_corrected_as_one_family(make_summary: Callable[..., Summary]) -> None:
    steps = {step.link.arm: step for step in compare_steps(make_summary(method="paired"), LINKS)}
    family = [("1.1", "1.0"), ("1.2", "1.1"), ("1.2", "1.0"), ("2.0", "1.0")]
    p_values = [stats.ttest_rel(SCORES[a], SCORES[b]).pvalue for a, b in family]
    found = [steps["1.1"].adds, steps["1.2"].adds, steps["1.2"].since_start, steps["2.0"].adds]
    for verdict, pair, p, adjusted in zip(found, family, p_values, adjust_holm(p_values), strict=True):
        assert verdict is not None
        assert (verdict.a, verdict.b) == pair
        assert verdict.difference == pytest.approx(np.mean(SCORES[pair[0]]) - np.mean(SCORES[pair[1]]))
        assert verdict.p == pytest.approx(p)
        assert verdict.p_adjusted == pytest.approx(adjusted)
    assert [verdict.verdict for verdict in found if verdict] == ["better", "inconclusive", "better", "worse"]


def test_the_first_step_is_what_it_adds_since_the_start(make_summary: Callable[..., Summary]) -> None:
    first = compare_steps(make_summary(), LINKS)[1]
    assert first.adds is first.since_start


def test_a_start_has_nothing_to_be_compared_with(make_summary: Callable[..., Summary]) -> None:
    start = compare_steps(make_summary(), LINKS)[0]
    assert (start.link.arm, start.adds, start.since_start) == ("1.0", None, None)


def test_no_links_no_steps(make_summary: Callable[..., Summary]) -> None:
    assert compare_steps(make_summary(), ()) == ()


def test_every_block_is_a_family_of_its_own(make_summary: Callable[..., Summary]) -> None:
    steps = compare_steps(make_summary(("a", "b")), LINKS)
    assert [(step.block, step.link.arm) for step in steps] == [(block, link.arm) for block in "ab" for link in LINKS]
    alone = compare_steps(make_summary(("a",)), LINKS)
    assert steps[1].adds == alone[1].adds


def test_a_loss_that_falls_is_better_and_a_margin_counts(make_summary: Callable[..., Summary]) -> None:
    falls = compare_steps(make_summary(metric="loss"), LINKS)[1].adds
    assert falls is not None
    assert falls.difference is not None
    assert (falls.verdict, falls.difference < 0) == ("better", True)
    same = compare_steps(make_summary(margin=0.003), LINKS)[2].adds
    assert same is not None
    assert same.verdict == "equivalent"


def test_a_chain_of_other_arms_is_refused(make_summary: Callable[..., Summary]) -> None:
    with pytest.raises(ValueError, match=r"'3\.0', which is no arm"):
        compare_steps(make_summary(), (Link(arm="1.0", base="3.0"),))
