"""Ctrl-C and SIGTERM: the first ends a run in order, the second ends it at once. Nothing is lost either way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
LAST_WORDS = "interrupted: all finished epochs are kept; the same command goes on from there"

_STANDARD_ERROR = 2  # its number, for Python's own stream may be in use when a signal comes
_SHOW_CURSOR = "\x1b[?25h"


def heed_interrupts() -> None:
    """Make of the first SIGINT or SIGTERM a KeyboardInterrupt, and of the next the end of this process."""
    _handle_by(_interrupt)


def _handle_by(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _handle_by(_leave)
    raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    """End now: whoever asks twice does not want to wait. Workers end when they find the driver gone."""
    with suppress(OSError):
        words = f"{_SHOW_CURSOR if os.isatty(_STANDARD_ERROR) else ''}{LAST_WORDS}\n"
        os.write(_STANDARD_ERROR, words.encode())
    os._exit(INTERRUPTED)
