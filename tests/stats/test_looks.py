"""What looking again costs: who belongs to one line of looks, and that no number of looks spends more than there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bakeoff.report.sections.basis import describe_family
from bakeoff.stats.looks import Look, LookedBlock, describe_looks, share_of_look, trace_line
from bakeoff.stats.results import Summary, TrialResult
from bakeoff.stats.summary import Rules, StudyDesign, summarise


def look(study: str, trials: Mapping[str, Sequence[int]], *, images: str = "digits", **fields: Any) -> Look:
    """A look at trials `ARM-SEED`."""
    seen = {arm: frozenset(f"{images} {arm}-{seed}" for seed in seeds) for arm, seeds in trials.items()}
    replicates = frozenset(seed for seeds in trials.values() for seed in seeds)
    block = LookedBlock(block=images, fingerprint=images, trials=seen, replicates=replicates)
    given: dict[str, Any] = {"study": study, "looked_at": f"2026-01-0{len(study)}T00:00:00+00:00", "metric": "accuracy"}
    return Look(study_id=study, blocks=(block,), **{**given, **fields})


def arms(names: str, num_seeds: int, first: int = 0) -> dict[str, range]:
    return dict.fromkeys(names, range(first, first + num_seeds))


def test_all_looks_together_spend_the_error_rate_once() -> None:
    shares = [share_of_look(number) for number in range(1, 200)]
    assert shares[0] == 0.9
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)


def test_more_replicates_are_another_look_whatever_the_study_is_called() -> None:
    line = trace_line([look("five", arms("ab", 5))], look("renamed", arms("ab", 10)))
    assert [(each.number, each.study, len(each.replicates)) for each in line] == [(1, "five", 5), (2, "renamed", 10)]
    # Nor does another seed for every trial hide that these arms were compared on these images.
    assert len(trace_line([look("five", arms("ab", 5))], look("again", arms("ab", 5, first=100)))) == 2


def test_two_studies_of_one_name_are_not_one_question() -> None:
    for other in (look("study", arms("cd", 5)), look("study", arms("ab", 5), images="mnist")):
        assert [each.number for each in trace_line([other], look("study", arms("ab", 5)))] == [1]
    # One arm in common, trained anew, may be everybody's baseline.
    assert len(trace_line([look("study", arms("ac", 5, first=9))], look("study", arms("ab", 5)))) == 1


def test_what_shows_nothing_new_is_no_look() -> None:
    past = [look("s", arms("abc", 5)), look("s", arms("abc", 10))]
    for again in (look("s", arms("abc", 10)), look("t", arms("ac", 10))):
        line = trace_line(past, again)
        assert [each.number for each in line] == [1, 2]
        assert line[-1].num_pairs == {"digits": 3}  # arms that were dropped count on
    assert [each.number for each in trace_line(past, past[0])] == [1]  # as it was seen then
    # A choice of replicates after the look has never been seen before; nor has another metric.
    assert len(trace_line(past, look("s", arms("abc", 7)))) == 3
    assert len(trace_line(past[:1], look("s", arms("abc", 5), metric="macro_f1"))) == 2


def test_what_was_looked_at_on_the_way_belongs_to_the_line() -> None:
    past = [look("one", arms("ab", 5)), look("two", arms("bcd", 5)), look("other", arms("xy", 5))]
    line = trace_line(past, look("three", arms("ade", 5)))
    assert [each.study for each in line] == ["one", "two", "three"]
    assert [each.num_pairs["digits"] for each in line] == [1, 6, 10]
    against = [look(s, a, against_baseline=True) for s, a in (("one", arms("abc", 5)), ("two", arms("ac", 9)))]
    assert [each.num_pairs["digits"] for each in trace_line(against[:1], against[1])] == [2, 2]


def test_another_metric_spends_its_share_and_tells_nothing() -> None:
    first, second = trace_line([look("s", arms("ab", 5), metric="loss")], look("s", arms("ab", 5)))
    assert first.trials == frozenset()
    assert second.share == share_of_look(2)


def test_the_headline_counts() -> None:
    line = trace_line([look("a", arms("ab", 5)), look("bb", arms("ab", 9))], look("bb", arms("ab", 20)))
    for fact in ("third look", "2026-01-01", "study a)", "2.5%"):
        assert fact in describe_looks(line)
    assert describe_looks(line[:1]) == ""


@pytest.fixture
def summarise_looks(make_results: Callable[..., list[TrialResult]]) -> Callable[..., Summary]:
    """Return a function that summarises scores after looks at so many replicates, each at the arms `seen`."""

    def call(scores: Mapping[str, Sequence[float]], sizes: Sequence[int], seen: str = "") -> Summary:
        looks = [look("s", arms(seen or "".join(scores), size)) for size in sizes]
        line = trace_line(looks[:-1], look("s", arms("".join(scores), sizes[-1])))
        results = make_results(scores, splits=("train", "validation", "test"))
        return summarise(results, StudyDesign(blocks=["digits"], arms=list(scores)), Rules(scope="seeds"), looks=line)

    return call


def draw(num: int, gap: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = 0.9 + 0.01 * rng.normal(size=num)
    return a, a - gap - 0.01 * rng.normal(size=num)


def test_a_single_look_pays_nine_tenths_of_the_error_rate(summarise_looks: Callable[..., Summary]) -> None:
    a, b = draw(6, 0.01)
    (verdict,) = summarise_looks({"a": a, "b": b}, [6]).verdicts
    assert verdict.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert verdict.p_adjusted == pytest.approx(stats.ttest_rel(a, b).pvalue / 0.9)


def test_a_later_look_is_held_to_its_own_share_and_what_was_found_stands(
    summarise_looks: Callable[..., Summary],
) -> None:
    a, b = draw(12, 0.012, seed=1)
    early, late = stats.ttest_rel(a[:6], b[:6]).pvalue, stats.ttest_rel(a, b).pvalue
    (verdict,) = summarise_looks({"a": a, "b": b}, [6, 12]).verdicts
    assert verdict.p == pytest.approx(late)
    assert verdict.p_adjusted == pytest.approx(min(early / 0.9, late / 0.05))
    # Found at six and blurred by six more: it stays as found, unless the data now point the other way.
    a, b = np.full(6, 0.9), 0.85 + 0.001 * np.arange(6)
    for later, word in ((0.89, "better"), (0.99, "inconclusive")):
        (found,) = summarise_looks({"a": [*a, *[0.9] * 6], "b": [*b, *[later] * 6]}, [6, 12]).verdicts
        assert found.verdict == word


def test_an_arm_that_was_dropped_still_counts(summarise_looks: Callable[..., Summary]) -> None:
    a, b = draw(8, 0.02)
    (alone,) = summarise_looks({"a": a, "b": b}, [8]).verdicts
    summary = summarise_looks({"a": a, "b": b}, [8, 8], seen="abcd")
    (kept,) = summary.verdicts
    assert re.search(r"6 pairs .*\(Holm\)", describe_family(summary))
    assert kept.p_adjusted == pytest.approx(6 * (alone.p_adjusted or 0))


def test_looking_until_something_is_found_finds_little() -> None:
    """Equal arms, 3 -> 5 -> 10 -> 20 replicates, stopping at the first winner: 15% without a record of looks."""
    sizes, rng = (3, 5, 10, 20), np.random.default_rng(0)
    differences = rng.normal(size=(4_000, 20))
    p_values = [stats.ttest_1samp(differences[:, :size], 0, axis=1).pvalue for size in sizes]
    plain = np.any([p <= 0.05 for p in p_values], axis=0).mean()
    spent = np.any([p <= 0.05 * share_of_look(k) for k, p in enumerate(p_values, 1)], axis=0).mean()
    assert plain > 0.1
    assert spent <= 0.05
