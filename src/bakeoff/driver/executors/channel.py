"""Messages between the driver and a local worker: pickles over the worker's standard input and output.

Pipes, because every system can pass them to a new process, and only the two processes hold their ends. A pipe's end
tells each side that the other is gone.
"""

from __future__ import annotations

import os
import pickle
from typing import Any, BinaryIO

from bakeoff.system import hide_from_children

_READY = b"worker ready\n"
_INPUT, _OUTPUT, _ERRORS = range(3)

BROKEN = (EOFError, OSError, pickle.UnpicklingError)
"""What `receive` and `send` raise when the other process has ended, perhaps within a message."""


def take_over() -> tuple[BinaryIO, BinaryIO]:
    """Return the streams of this process's tasks and reports, and say that it is ready.

    From now on what this process or its children print goes to standard error, and they read nothing. Children that it
    forks do not hold the streams.
    """
    tasks, reports = os.fdopen(os.dup(_INPUT), "rb"), os.fdopen(os.dup(_OUTPUT), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _INPUT)
    os.close(nothing)
    os.dup2(_ERRORS, _OUTPUT)
    hide_from_children(tasks.fileno(), reports.fileno())
    reports.write(_READY)
    reports.flush()
    return tasks, reports


def await_worker(reports: BinaryIO) -> None:
    """Skip what was printed while the worker started, for instance by an extension of Python's start-up.

    Raises:
        EOFError: it ended before it was ready.
    """
    for line in reports:
        if line.endswith(_READY):
            return
    raise EOFError


def send(message: object, stream: BinaryIO) -> None:
    """Write one message, whole."""
    stream.write(pickle.dumps(message))
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Return the next message, waiting for it."""
    return pickle.load(stream)
