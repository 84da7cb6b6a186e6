"""The interface of executors, which take tasks and report events. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bakeoff.messages import Event, Task

GOES_ON = "Finished work is kept; once the cause is fixed, run the same command again to resume."


@dataclass(frozen=True, kw_only=True)
class Started:
    """A worker has taken a task.

    Attributes:
        machine: the machine, as recorded in the ledger; empty for the driver's own machine.
    """

    task_id: str
    machine: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskLost:
    """A task ended without being completed.

    Attributes:
        died: its worker died (killed, out of memory, crashed); otherwise the task raised an exception.
        out_of_memory: the device had too little memory for it.
        reason: a one-line explanation.
        detail: the traceback, if there is one.
        is_final: whether retrying is useless until the user has fixed the cause, such as a full disk.
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

    def prepare(self, num_tasks: int) -> None:
        """Announce tasks to come: workers for them may start now."""
        ...

    def submit(self, task: Task) -> None:
        """Queue a task; tasks start in the order of submission."""
        ...

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Return what was reported since the last call, waiting up to `timeout_seconds` for something."""
        ...

    def close(self) -> None:
        """Stop everything at once. Files on disk are kept."""
        ...
