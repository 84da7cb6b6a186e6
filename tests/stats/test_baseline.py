from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from bakeoff.stats.family import list_family
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

Make = Callable[..., Summary]

BASE = [0.972, 0.974, 0.971, 0.973, 0.970]
BETTER = [0.981, 0.985, 0.980, 0.984, 0.978]
WORSE = [0.931, 0.935, 0.930, 0.931, 0.928]
LEVEL = [0.9722, 0.9739, 0.9711, 0.9728, 0.9701]
NOISY = [0.960, 0.981, 0.976, 0.990, 0.965]


@pytest.fixture
def make(make_results: Callable[..., list[TrialResult]]) -> Make:
    """Return a function that summarises scores against the arm `base`."""

    def summarise_scores(
        scores: Mapping[str, Sequence[float]], blocks: Sequence[str] = ("digits",), **rules: Any
    ) -> Summary:
        design = StudyDesign(blocks=blocks, arms=rules.pop("arms", list(scores)))
        return summarise(make_results(scores, blocks), design, Rules(baseline="base", **rules))

    return summarise_scores


ALL = {"better": BETTER, "base": BASE, "worse": WORSE, "level": LEVEL, "noisy": NOISY}


def test_only_pairs_with_the_baseline_are_the_family(make: Make) -> None:
    summary = make(ALL)
    assert [(v.a, v.b) for v in summary.verdicts] == [(a, "base") for a in ("better", "worse", "level", "noisy")]
    assert len(list_family(list(ALL))) == 10
    assert summary.baseline == summary.answers[0].baseline == "base"


def test_p_values_are_adjusted_for_the_pairs_compared(make: Make) -> None:
    alone, among = make({"base": BASE, "noisy": NOISY}), make(ALL)
    p = alone.verdicts[0].p
    assert p is not None
    assert alone.verdicts[0].p_adjusted == pytest.approx(p)
    smallest = min(v.p or 1.0 for v in among.verdicts)
    assert min(v.p_adjusted or 1.0 for v in among.verdicts) == pytest.approx(4 * smallest)


def test_answer_is_read_from_the_baseline(make: Make) -> None:
    answer = make(ALL, margin=0.001, method="paired").answers[0]
    assert (answer.best, answer.better, answer.worse) == ("better", ("better",), ("worse",))
    assert (answer.equivalent, set(answer.not_worse)) == (("level",), {"noisy", "level"})
    scores = ("base (97.2%", "better (98.2%)", "level (97.2%)", "worse (93.1%)", "noisy (97.4%)")
    places = [answer.sentence.index(score) for score in scores]
    assert places == sorted(places)


def test_many_arms_are_counted(make: Make) -> None:
    scores = {"base": BASE, **{f"x{i}": [v + 0.001 * i for v in BETTER] for i in range(5)}}
    assert make(scores).answers[0].sentence.count("5 arms (98.2% to 98.6%)") == 1


def test_baseline_that_failed_or_stands_alone_or_has_too_few(make: Make) -> None:
    lost = make({"x": BETTER}, arms=["base", "x"]).answers[0]
    assert (lost.best, lost.better, lost.worse, lost.not_worse, lost.missing) == ("x", (), (), (), ("base",))
    assert "no answer" in lost.sentence
    assert make({"base": BASE}).verdicts == ()
    few = make({"base": BASE[:2], "x": BETTER[:2]}).answers[0].sentence
    assert "under 3 replicates" in few
    assert "97.3%" in few


def test_blocks_are_counted_together(make: Make) -> None:
    summary = make(ALL, blocks=("one", "two"))
    assert "2 blocks" in summary.overall
    assert "better (2); " in summary.overall
    assert "worse (2)" in summary.overall
    assert "no arm" in make({"base": BASE, "noisy": NOISY}, blocks=("one", "two")).overall
    assert make(ALL).overall == ""


def test_unknown_baseline_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="'base'"):
        make({"x": BETTER})
