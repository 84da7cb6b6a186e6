"""Tells how far the reading of images is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Say = Callable[[str], None]

FIRST_AFTER_SECONDS = 5.0
EVERY_SECONDS = 10.0

_SAY: ContextVar[Say | None] = ContextVar("say", default=None)


@contextmanager
def watch_reading(say: Say) -> Iterator[None]:
    """Within this context, whatever reads many images says so now and then; what takes a moment says nothing.

    Args:
        say: called with one line.
    """
    token = _SAY.set(say)
    try:
        yield
    finally:
        _SAY.reset(token)


class ReadingProgress:
    """Counts images that are read.

    Args:
        title: what is done, such as `photos: decoding`.
        num_images: all of them.
        num_done: those of them that an earlier run has done.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self, title: str, num_images: int, num_done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._num_images, self._num_earlier, self._clock = title, num_images, num_done, clock
        self._started = clock()
        self._next = self._started + FIRST_AFTER_SECONDS

    def show(self, num_done: int) -> None:
        """Say how many images are done, unless that was said a moment ago."""
        say, now = _SAY.get(), self._clock()
        if say is None or now < self._next or num_done <= self._num_earlier:
            return
        self._next = now + EVERY_SECONDS
        left = (now - self._started) / (num_done - self._num_earlier) * (self._num_images - num_done)
        say(f"{self._title}: {num_done:,} of {self._num_images:,} images, {_format_clock(left)} left")


def _format_clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
