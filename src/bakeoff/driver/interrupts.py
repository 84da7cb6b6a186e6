"""Ctrl-C, SIGTERM and, on Windows, Ctrl-Break: the first ends a run cleanly, the second ends it at once.

Nothing is lost either way.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from bakeoff.system import INTERRUPTS

INTERRUPTED = 130
INTERRUPTED_MESSAGE = "interrupted: all finished epochs are kept; run the same command again to resume"

_STANDARD_ERROR = 2  # its descriptor: Python's stream may be in use when a signal arrives
_SHOW_CURSOR = "\x1b[?25h"


def handle_interrupts() -> None:
    """Turn the first of them into a KeyboardInterrupt, and let the next end this process."""
    _handle_by(_interrupt)


def was_interrupted() -> bool:
    """Return whether the first signal has come.

    Compiled libraries turn the KeyboardInterrupt into exceptions of their own: pydantic into a SchemaError when it
    comes while a model is built. So any exception after the signal counts as the interrupt.
    """
    return signal.getsignal(signal.SIGINT) is _leave


def end_at_once() -> None:
    """Let the next signal end this process, without an exception: its work is done."""
    _handle_by(_leave)


def _handle_by(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in INTERRUPTS:
        signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _handle_by(_leave)
    raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once, because the user asked twice. Workers end when they notice that the driver is gone."""
    with suppress(OSError):
        words = f"{_SHOW_CURSOR if os.isatty(_STANDARD_ERROR) else ''}{INTERRUPTED_MESSAGE}\n"
        os.write(_STANDARD_ERROR, words.encode())
    os._exit(INTERRUPTED)
