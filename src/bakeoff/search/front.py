"""The best candidates of a search: the Pareto front of several objectives, and the winner on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from bakeoff.search.proposal import Score

Direction: TypeAlias = Literal["maximize", "minimize"]


def find_front(scores: Iterable[Score], directions: Sequence[Direction]) -> tuple[Score, ...]:
    """Return the scores that no other dominates, sorted by the first objective, then the others, then number.

    A score dominates another if it is at least as good in every objective and better in one. Failed and pruned
    candidates are excluded: the final score of a pruned one is unknown.

    Args:
        scores: in any order.
        directions: the direction of every objective.
    """
    finished = [score for score in scores if has_values(score) and not score.pruned]
    gains = {score.number: _orient(score.values or (), directions) for score in finished}
    ranked = sorted(finished, key=lambda score: _rank(score, gains))
    front: list[Score] = []
    for score in ranked:
        # A dominating score ranks before the dominated one, so comparing with the front so far is enough.
        if not any(_beats(gains[other.number], gains[score.number]) for other in front):
            front.append(score)
    return tuple(front)


def choose_winner(scores: Iterable[Score], directions: Sequence[Direction]) -> Score | None:
    """Return the score on the Pareto front with the best first objective; None if there is none."""
    front = find_front(scores, directions)
    return front[0] if front else None


def has_values(score: Score) -> bool:
    """Return whether a score can be compared: it has values, and all are finite."""
    return bool(score.values) and all(math.isfinite(value) for value in score.values or ())


def _orient(values: Sequence[float], directions: Sequence[Direction]) -> tuple[float, ...]:
    """Return values with signs changed so that higher is better."""
    return tuple(
        value if direction == "maximize" else -value for value, direction in zip(values, directions, strict=True)
    )


def _rank(score: Score, gains: dict[int, tuple[float, ...]]) -> tuple[tuple[float, ...], int]:
    return tuple(-gain for gain in gains[score.number]), score.number


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
