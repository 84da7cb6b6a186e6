"""Cohorts cut smaller where cores would else wait for the last of them. By the plan and the machine alone. No torch.

Nine arms and five replicates are five cohorts: two cores train two and two, and then one core waits while the other
trains the fifth; six of eight cores have nothing to do at all. A cohort of half the members takes more than half the
time, so as little is cut as it takes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

ROUNDS_ENOUGH = 8
"""Cohorts a lane from which on nothing is cut: what the last of them leave idle is little."""

WORTHWHILE = 0.03
"""Share of the whole time that cutting more has to save."""


def balance(
    items: Sequence[_Item],
    num_lanes: int,
    cost: Callable[[_Item], float],
    size: Callable[[_Item], int],
    cut: Callable[[_Item, int], Sequence[_Item]],
) -> list[_Item]:
    """Cut some of the costliest items so that lanes that take one after another, costliest first, end soonest.

    Args:
        items: what is to be done.
        num_lanes: how many are done at once.
        cost: what an item takes, in any unit.
        size: into how many parts it could be cut.
        cut: cuts an item into parts of at most so many.

    Returns:
        The items, or their parts in their place.
    """
    if num_lanes < 2 or not items or len(items) >= ROUNDS_ENOUGH * num_lanes:
        return list(items)
    ordered = sorted(items, key=cost, reverse=True)
    best, shortest = ordered, measure_span([cost(item) for item in ordered], num_lanes)
    for most in range(max(map(size, items)) - 1, 0, -1):
        parts = [list(cut(item, most)) for item in ordered[:num_lanes]]
        for number in range(1, len(parts) + 1):
            found = [part for item in parts[:number] for part in item] + ordered[number:]
            span = measure_span([cost(item) for item in found], num_lanes)
            if span < shortest * (1 - WORTHWHILE):
                best, shortest = found, span
    return best


def measure_span(costs: Sequence[float], num_lanes: int) -> float:
    """Return when the last lane ends, if each takes the costliest that is left whenever it is free.

    Source: Graham (1969), Bounds on multiprocessing timing anomalies, the longest-processing-time rule.
    """
    lanes = [0.0] * num_lanes
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(lanes, lanes[0] + cost)
    return max(lanes)
