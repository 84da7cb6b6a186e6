"""Splits cohorts if cores would otherwise be idle at the end. Depends only on plan and machine. No torch.

Nine arms and five replicates are five cohorts: two cores train two each, then one is idle while the other trains the
fifth; with eight cores, three would be idle from the start. A cohort with half the members takes more than half the
time, so as few cohorts as possible are split.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

ROUNDS_ENOUGH = 8
"""Cohorts per lane above which nothing is split, because little idle time remains."""

WORTHWHILE = 0.03
"""Minimum fraction of the total time that further splitting must save."""


def balance(
    items: Sequence[_Item],
    num_lanes: int,
    cost: Callable[[_Item], float],
    size: Callable[[_Item], int],
    cut: Callable[[_Item, int], Sequence[_Item]],
) -> list[_Item]:
    """Split some of the most expensive items to minimize the makespan of lanes that process the most expensive first.

    Args:
        items: the work items.
        num_lanes: how many are processed at once.
        cost: the cost of an item, in any unit.
        size: the number of parts into which it could be split.
        cut: splits an item into parts of at most a given size.

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
    """Return the makespan if each free lane takes the most expensive remaining item.

    Source: Graham (1969), Bounds on multiprocessing timing anomalies, the longest-processing-time rule.
    """
    lanes = [0.0] * num_lanes
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(lanes, lanes[0] + cost)
    return max(lanes)
