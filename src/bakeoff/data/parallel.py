"""Applies a function on all cores, in order, with bounded memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bakeoff.cgroups import count_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 32
"""More threads wait for each other: what surrounds the decoding of an image is Python, one thread at a time."""


def map_in_order(
    function: Callable[[Item], Result], items: Sequence[Item], *, num_workers: int | None = None, batch: int = 1
) -> Iterator[Result]:
    """Yield the function's results in the order of the items.

    Threads, not processes: Pillow decodes and resizes without the interpreter's lock, and nothing has to be copied.

    Args:
        function: called in several threads at once.
        items: its arguments.
        num_workers: the number of threads; None: one per core.
        batch: items per task: more for short calls. At most three tasks per thread are in memory.
    """
    num_workers = count_workers() if num_workers is None else num_workers
    if num_workers <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    starts = iter(range(0, len(items), batch))
    waiting: deque[Future[list[Result]]] = deque()
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="decode")

    def submit(start: int) -> None:
        waiting.append(pool.submit(_apply, function, items[start : start + batch]))

    try:
        for start in itertools.islice(starts, 3 * num_workers):
            submit(start)
        while waiting:
            results = waiting.popleft().result()
            for start in itertools.islice(starts, 1):
                submit(start)
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def count_workers() -> int:
    """Return the number of threads that read images."""
    return min(MOST_WORKERS, count_cores())


def _apply(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
