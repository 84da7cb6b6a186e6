"""What an executor is: a place that takes tasks and reports events. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bakeoff.training.task import Event, Task

GOES_ON = "What was finished is kept; when the cause is mended, the same command goes on from there."


@dataclass(frozen=True, kw_only=True)
class Started:
    """A worker has taken a task.

    Attributes:
        machine: what it runs on, as the ledger holds it; empty for the driver's own machine.
    """

    task_id: str
    machine: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskLost:
    """A task ended without being done.

    Attributes:
        died: its worker is gone (killed, out of memory, crashed); else the task raised.
        out_of_memory: the device had too little memory for it.
        reason: one line for people.
        detail: the traceback where there is one.
        is_final: whether trying again is no use before somebody has seen to it, as with a full disk.
    """

    task_id: str
    died: bool
    reason: str
    detail: str = ""
    out_of_memory: bool = False
    is_final: bool = False


Report = Event | Started | TaskLost


class Executor(Protocol):
    """Runs tasks somewhere. Every submitted task ends in exactly one TaskDone or TaskLost."""

    def submit(self, task: Task) -> None:
        """Queue a task; tasks start in the order of submission."""
        ...

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Return what was reported since the last call, waiting up to `timeout_seconds` for something."""
        ...

    def close(self) -> None:
        """Stop everything at once. What is on disk stays."""
        ...
