from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from bakeoff.stats.family import decide_family
from bakeoff.stats.race import Race, RaceStanding
from bakeoff.stats.sequential import SequentialDesign, compare_by_looks

DESIGN = SequentialDesign(at_least=3, at_most=20)


def draw(*means: float, seed: int = 0, n: int = 20) -> dict[str, list[float | None]]:
    """Draw scores of arms a, b, ...: means in standard deviations, a part shared by the arms of a replicate."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(n)
    return {"abcdefgh"[i]: list(mean + rng.standard_normal(n) / 2**0.5 + shared) for i, mean in enumerate(means)}


def judge_race(scores: Mapping[str, Sequence[float | None]], **settings: Any) -> RaceStanding:
    """Run a race to its end, or as far as there are scores; an arm's scores after it left are ignored."""
    race = Race(tuple(scores), **settings)
    standing = race.standing
    for replicate in range(DESIGN.at_most):
        if not standing.racing or any(len(scores[arm]) <= replicate for arm in standing.racing):
            break
        standing = race.judge({arm: scores[arm][replicate] for arm in standing.racing})
    return standing


def test_a_far_worse_arm_leaves_and_the_rest_race_on() -> None:
    scores = draw(0.0, 0.0, -30.0)
    race = Race(tuple(scores), design=DESIGN)
    for replicate in range(10):
        standing = race.judge({arm: values[replicate] for arm, values in scores.items()})
    assert standing.racing == ("a", "b")
    assert standing.replicates == 10
    assert standing.exits["c"].reason in ("worse than a", "worse than b")
    assert 3 <= standing.exits["c"].replicates < 10
    assert not standing.settled


def test_lower_is_better_turns_the_race_round() -> None:
    standing = judge_race(draw(0.0, 30.0), design=DESIGN, higher_is_better=False)
    assert standing.exits["b"].reason == "worse than a"
    assert judge_race(draw(0.0, 30.0), design=DESIGN).exits["a"].reason == "worse than b"


def test_the_winner_leaves_when_nothing_is_left_to_find_out() -> None:
    standing = judge_race(draw(0.0, -30.0, -31.0), design=DESIGN)
    assert standing.settled
    assert "decided" in standing.exits["a"].reason
    assert standing.replicates == standing.exits["a"].replicates < 10


def test_equal_arms_leave_before_the_end_but_not_at_once() -> None:
    replicates = [judge_race(draw(0.0, 0.0, seed=seed), design=DESIGN).replicates for seed in range(40)]
    assert 8 < np.mean(replicates) < 16
    given_up = judge_race(draw(0.0, 0.0, seed=3), design=DESIGN).exits["a"]
    assert "unlikely" in given_up.reason


def test_arms_that_stay_undecided_race_to_the_end() -> None:
    ends = [judge_race(draw(0.0, 0.5, seed=seed), design=DESIGN) for seed in range(60)]
    reasons = {standing.exits["a"].reason for standing in ends if standing.replicates == 20}
    assert any(" 20 replicates" in reason for reason in reasons)
    assert all(standing.settled for standing in ends)


def test_equivalent_arms_leave() -> None:
    standing = judge_race(draw(0.0, 0.0), design=DESIGN, margin=5.0)
    assert "decided" in standing.exits["a"].reason == standing.exits["b"].reason
    assert standing.replicates < 10


def test_an_immaterial_difference_beats_no_arm() -> None:
    scores = {arm: [value and value / 100 for value in values] for arm, values in draw(0.0, 300.0).items()}
    standing = judge_race(scores, design=DESIGN, margin=4.0)
    assert all("decided" in left.reason for left in standing.exits.values())


def test_what_the_race_says_is_what_the_family_says() -> None:
    num_beaten = 0
    for seed in range(30):
        scores = draw(0.0, -1.0, -2.0, -4.0, seed=seed)
        exits = judge_race(scores, design=DESIGN).exits
        pairs = list(combinations(scores, 2))
        comparisons = []
        for a, b in pairs:
            n = min(exits[a].replicates, exits[b].replicates)
            comparisons.append(compare_by_looks(scores[a][:n], scores[b][:n], design=DESIGN))  # type: ignore[arg-type]
        decided = dict(zip(pairs, decide_family(comparisons), strict=True))
        for loser, left in exits.items():
            if left.reason.startswith("worse than "):
                winner = left.reason.removeprefix("worse than ")
                verdict = decided[min(loser, winner), max(loser, winner)].verdict
                assert verdict == ("worse" if loser < winner else "better")
                num_beaten += 1
    assert num_beaten > 30


def test_equal_arms_seldom_beat_each_other() -> None:
    num_races = 150
    false = sum(
        any(
            left.reason.startswith("worse")
            for left in judge_race(draw(*[0.0] * 5, seed=seed), design=DESIGN).exits.values()
        )
        for seed in range(num_races)
    )
    assert false / num_races <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / num_races)


def test_an_arm_that_always_fails_leaves() -> None:
    scores = draw(0.0, 0.0, 0.0) | {"b": [None] * 20}
    standing = judge_race(scores, design=DESIGN)
    assert "last 3 trials failed" in standing.exits["b"].reason
    assert standing.exits["b"].replicates == 3
    assert standing.exits["a"].replicates > 3


def test_not_finite_counts_as_failed() -> None:
    standing = judge_race(draw(0.0, 0.0) | {"b": [float("nan")] * 20}, design=DESIGN)
    assert "last 3 trials failed" in standing.exits["b"].reason
    assert "decided" in standing.exits["a"].reason


def test_pairs_are_compared_on_the_replicates_both_have() -> None:
    scores = draw(0.0, -30.0)
    whole = judge_race(scores, design=DESIGN).exits["b"]
    gaps: dict[str, list[float | None]] = {arm: [None, *values] for arm, values in scores.items()}
    gaps["a"][0] = 1.0
    assert judge_race(gaps, design=DESIGN).exits["b"].replicates == whole.replicates + 1


def test_an_arm_that_often_fails_holds_nobody_up_for_ever() -> None:
    scores = draw(0.0, 0.0, n=20)
    scores["b"] = [value if replicate % 3 == 0 else None for replicate, value in enumerate(scores["b"])]
    standing = judge_race(scores, design=DESIGN)
    assert standing.settled
    assert 9 < standing.replicates <= 20
    assert not standing.exits["b"].reason.startswith("its last")  # three failures, but not in a row


def test_all_arms_fail() -> None:
    standing = judge_race({"a": [None] * 20, "b": [None] * 20}, design=DESIGN)
    assert standing.settled
    assert standing.replicates == 3


def test_two_arms_that_never_succeed_decide_nothing_between_them() -> None:
    # At chance level they would be level in all looks: "equivalent", which would ease Holm for the rest.
    design = SequentialDesign(at_least=8, at_most=8)
    race = Race(("a", "b", "c"), design=design, margin=0.1, failed_score=0.1)
    for _ in range(8):
        standing = race.judge({"a": 0.9, "b": None, "c": None})
    assert standing.settled
    assert race._decide() == ({("a", "b"), ("a", "c")}, set())


def test_one_arm_alone_is_not_raced() -> None:
    standing = judge_race(draw(0.0), design=DESIGN)
    assert standing.settled
    assert standing.replicates == 3


def test_against_a_baseline_arms_leave_when_compared_and_the_baseline_last() -> None:
    standing = judge_race(draw(30.0, 0.0, 0.3, -30.0), design=DESIGN, baseline="b")
    assert list(standing.exits)[-1] in ("b", "c")
    assert standing.exits["b"].replicates == standing.exits["c"].replicates == standing.replicates
    assert standing.exits["a"].replicates < standing.replicates
    assert "decided" in standing.exits["a"].reason
    assert standing.exits["d"].reason == "worse than b"


def test_a_race_run_again_stands_where_it_stood() -> None:
    scores = draw(0.0, 0.4, -3.0, seed=2)
    race = Race(tuple(scores), design=DESIGN)
    standing = race.standing
    while standing.racing:
        standing = race.judge({arm: scores[arm][standing.replicates] for arm in standing.racing})
    assert judge_race(scores, design=DESIGN) == standing
    trained = {arm: values[: standing.exits[arm].replicates] for arm, values in scores.items()}
    assert judge_race(trained, design=DESIGN) == standing
    half = judge_race({arm: values[:4] for arm, values in scores.items()}, design=DESIGN)
    assert half.replicates == 4
    assert half.racing


def test_a_race_that_is_over_takes_no_more() -> None:
    race = Race(("a",), design=SequentialDesign(at_least=3, at_most=3))
    for _ in range(3):
        race.judge({"a": 1.0})
    with pytest.raises(ValueError, match="over"):
        race.judge({})


def test_a_failed_trial_counts_as_the_score_it_is_given() -> None:
    holed = draw(0.0, 0.5)
    holed["b"] = [None if replicate % 4 == 1 else value for replicate, value in enumerate(holed["b"])]
    filled = {arm: [-9.0 if value is None else value for value in values] for arm, values in holed.items()}
    race, expected = (Race(("a", "b"), design=DESIGN, failed_score=score) for score in (-9.0, None))
    for replicate in range(DESIGN.at_most):
        if not expected.standing.racing:
            break
        found = race.judge({arm: values[replicate] for arm, values in holed.items()})
        assert found == expected.judge({arm: values[replicate] for arm, values in filled.items()})
