"""The Pareto front and the winner, against all pairs compared."""

from __future__ import annotations

import random

from bakeoff.search.front import choose_winner, find_front
from bakeoff.search.proposal import Score


def score(number: int, *values: float, pruned: bool = False) -> Score:
    return Score(number=number, values=values, pruned=pruned)


def test_the_front_is_what_no_other_beats() -> None:
    generator = random.Random(3)
    # Few distinct values, so that ties in one objective and in both occur.
    scores = [score(number, generator.randrange(6), generator.randrange(6)) for number in range(60)]
    beaten = {
        one.number
        for one in scores
        for other in scores
        if one.values is not None and other.values is not None
        if other.values[0] >= one.values[0] and other.values[1] <= one.values[1] and other.values != one.values
    }
    front = find_front(scores, ("maximize", "minimize"))
    assert {one.number for one in front} == {one.number for one in scores} - beaten
    assert 0 < len(beaten) < 60
    winner = choose_winner(scores, ("maximize", "minimize"))
    assert winner is not None
    assert winner.values == (5, min(one.values[1] for one in scores if one.values and one.values[0] == 5))


def test_one_objective_has_one_winner_ties_by_number() -> None:
    scores = [score(4, 0.9), score(1, 0.5), score(2, 0.9)]
    assert choose_winner(scores, ("maximize",)) == score(2, 0.9)
    assert choose_winner(scores, ("minimize",)) == score(1, 0.5)


def test_failed_pruned_and_endless_scores_take_no_part() -> None:
    scores = [
        score(0, 0.99, pruned=True),
        Score(number=1, values=None),
        score(2, float("nan")),
        score(3, float("inf")),
        score(4, 0.5),
    ]
    assert find_front(scores, ("maximize",)) == (score(4, 0.5),)
    assert choose_winner(scores[:4], ("maximize",)) is None
    assert choose_winner(iter(scores), ("maximize",)) == score(4, 0.5)
