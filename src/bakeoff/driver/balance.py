"""Splits cohorts, or gives them threads, if cores would otherwise be idle. Depends only on plan and machine. No torch.

Nine arms and five replicates are five cohorts: two cores train two each, then one is idle while the other trains the
fifth; with eight cores, three would be idle from the start. A cohort with half the members takes more than half the
time, so as few cohorts as possible are split. One large network cannot be split; it may use several threads.
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


PARALLEL_FRACTION = 0.85
"""Fraction of a large network's step that threads divide among them; measured: see docs/speed.md."""


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


def share_cores(costs: Sequence[float], most_threads: Sequence[int], num_lanes: int) -> list[int]:
    """Return the number of threads of every item: more than one where that shortens the makespan.

    Some of the most expensive items get equally many cores and start first; then the others follow, one core each.

    Args:
        costs: the cost of every item on one thread, in any unit, the most expensive first.
        most_threads: the maximum number of threads of every item.
        num_lanes: the number of cores.
    """
    best = [1] * len(costs)
    if num_lanes < 2 or len(costs) >= ROUNDS_ENOUGH * num_lanes or max(most_threads, default=1) < 2:
        return best
    shortest = measure_span(costs, num_lanes)
    for number in range(1, min(len(costs), num_lanes // 2) + 1):
        found = [min(most, num_lanes // number) for most in most_threads[:number]] + [1] * (len(costs) - number)
        span = measure_span(costs, num_lanes, found)
        if span < shortest * (1 - WORTHWHILE):
            best, shortest = found, span
    return best


def measure_span(costs: Sequence[float], num_lanes: int, threads: Sequence[int] | None = None) -> float:
    """Return the makespan if free lanes take the item with the most threads, of equal ones the most expensive.

    Args:
        costs: the cost of every item on one thread.
        num_lanes: the number of lanes.
        threads: how many lanes each item takes, and all at most; by default one.

    Source: Graham (1969), Bounds on multiprocessing timing anomalies, the longest-processing-time rule.
    """
    lanes, started = [0.0] * num_lanes, 0.0
    items = zip(threads or [1] * len(costs), costs, strict=True)
    for num_threads, cost in sorted(items, reverse=True):
        taken = [heapq.heappop(lanes) for _ in range(min(num_threads, num_lanes))]
        started = max(started, taken[-1])  # no item overtakes another
        for _ in taken:
            heapq.heappush(lanes, started + cost / speed_up(num_threads))
    return max(lanes)


def speed_up(num_threads: int) -> float:
    """Return how many times as fast a step of a large network is on several threads.

    Source: Amdahl (1967), Validity of the single processor approach to achieving large scale computing capabilities.
    """
    return 1 / (1 - PARALLEL_FRACTION + PARALLEL_FRACTION / num_threads)
