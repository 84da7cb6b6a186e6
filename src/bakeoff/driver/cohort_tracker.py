"""Tracks the cohorts in training: submitted, lost and retried, split up, ended; and their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from bakeoff.driver.executors.base import GOES_ON, Executor, Started, TaskLost
from bakeoff.driver.observer import Observer
from bakeoff.driver.parts import halve, halve_trials, name_half, name_part, split_members
from bakeoff.errors import StorageError
from bakeoff.ledger.store import Ledger
from bakeoff.messages import CohortTask, EpochDone, Member, TrialFailed
from bakeoff.system import remove
from bakeoff.workspace import Folders

MOST_LOSSES = 2
"""Workers that a cohort may lose in one epoch before its members are tried alone, or a single member fails."""


@dataclass
class Running:
    """A submitted cohort: its task, and the members still open.

    Attributes:
        num_losses: workers lost since it last finished an epoch.
        ancestors: the cohorts it was split or halved from, earliest first.
        machine: its worker's machine; empty for the driver's own.
    """

    task: CohortTask
    num_losses: int = 0
    ancestors: tuple[str, ...] = ()
    machine: str = ""
    open_ids: set[str] = field(default_factory=set)


class CohortTracker:
    """The cohorts that are submitted to an executor, or will be again.

    Args:
        executor: where they train.
        ledger: records incidents, and which cohorts were split up.
        folders: the workspace, for the checkpoints of ended cohorts.
        observer: receives progress.
        seed_of: returns a trial's seed, by which a cohort is halved.
    """

    def __init__(
        self,
        executor: Executor,
        ledger: Ledger,
        folders: Folders,
        observer: Observer,
        seed_of: Callable[[str], int],
    ) -> None:
        self._executor, self._ledger, self._folders = executor, ledger, folders
        self._observer, self._seed_of = observer, seed_of
        self._running: dict[str, Running] = {}
        self._obsolete: list[str] = []
        self._kept: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._running)

    @property
    def targets(self) -> Mapping[str, int | None]:
        """The epoch to which every trial in training currently trains; None: to its end."""
        return {each_id: running.task.until for running in self._running.values() for each_id in running.open_ids}

    def find(self, trial_id: str) -> Running | None:
        """Return the cohort in which a trial is open."""
        return next((running for running in self._running.values() if trial_id in running.open_ids), None)

    def close(self, trial_id: str) -> Running | None:
        """Record that a trial has ended or paused; return its cohort, or None if it was not open."""
        running = self.find(trial_id)
        if running is not None:
            running.open_ids.discard(trial_id)
        return running

    def enter(self, task: CohortTask) -> None:
        """Submit a cohort, or the parts into which an earlier run has split it."""
        self._enter(Running(task))

    def _enter(self, running: Running) -> None:
        if self._ledger.was_halved(running.task.cohort_id):
            self._halve(running)
        elif self._ledger.was_split(running.task.cohort_id):
            self._split(running)
        else:
            self._submit(running)

    def _submit(self, running: Running) -> None:
        running.open_ids = {member.trial_id for member in running.task.members}
        self._running[running.task.cohort_id] = running
        self._executor.submit(running.task)

    def begin(self, report: Started) -> None:
        """Record that a worker has started a cohort, and its machine."""
        running = self._running.get(report.task_id)
        if running is not None:
            running.machine = report.machine
            self._observer.cohort_started(running.task.label, len(running.task.members))

    def note_progress(self, report: EpochDone) -> None:
        """Record progress of a cohort: earlier losses no longer count."""
        running = None if report.replayed else self.find(report.trial_id)
        if running is not None:
            running.num_losses = 0

    def end(self, cohort_id: str) -> None:
        """Remove an ended cohort; release its checkpoint and those of its ancestors."""
        running = self._running.pop(cohort_id)
        self._observer.cohort_done(running.task.label)
        self._release(running)

    def _release(self, running: Running) -> None:
        needed = {ancestor for other in self._running.values() for ancestor in other.ancestors}
        ancestors = (ancestor for ancestor in running.ancestors if ancestor not in needed)
        self._obsolete += [running.task.cohort_id, *ancestors]

    def lose(self, lost: TaskLost) -> TrialFailed | None:
        """Retry a lost cohort: unchanged if its worker died, then each member alone; then give it up.

        Workers die for many reasons that are not a trial's fault, so a cohort may lose any number of them while it
        makes progress: only losses without a finished epoch in between count. After a device runs out of memory, the
        cohort is halved instead, repeatedly if necessary.

        Returns:
            The failure of the single trial that is not retried; it is open until `close` and `drop`.

        Raises:
            WorkspaceError: retrying is useless until the user has fixed the cause.
        """
        running = self._running.pop(lost.task_id)
        task = running.task
        if lost.is_final:
            raise StorageError(f"{lost.reason} {GOES_ON}")
        self._ledger.record_incident(task.cohort_id, "lost" if lost.died else "error", lost.detail or lost.reason)
        self._observer.cohort_done(task.label)
        members = tuple(member for member in task.members if member.trial_id in running.open_ids)
        ended = {member.trial_id for member in task.members} - running.open_ids
        running.task = replace(task, members=members, finished=task.finished | ended)
        running.num_losses += 1
        return self._retry(running, members, lost)

    def _retry(self, running: Running, members: Sequence[Member], lost: TaskLost) -> TrialFailed | None:
        label = running.task.label
        if not members:
            self._observer.cohort_done(label)
            self._release(running)
        elif lost.out_of_memory and len(members) > 1:
            self._observer.message(
                f"{label}: too little memory for {len(members)} members; retrying them in two halves"
            )
            self._halve(running)
        elif lost.died and running.num_losses < MOST_LOSSES:
            self._observer.message(f"{label}: {lost.reason}; retrying")
            self._submit(running)
        elif len(members) > 1:
            self._observer.message(f"{label}: {lost.reason}; retrying each member alone")
            self._split(running)
        else:
            self._kept.update((running.task.cohort_id, *running.ancestors))  # for a later run to resume from
            self._running[running.task.cohort_id] = running
            return TrialFailed(trial_id=members[0].trial_id, reason=lost.reason, diverged=False)
        return None

    def drop(self, cohort_id: str) -> None:
        """Remove a cohort whose single trial has failed; its checkpoint is kept."""
        del self._running[cohort_id]

    def _split(self, running: Running) -> None:
        """Train each member alone from the cohort's checkpoint, to find the failing one."""
        task = running.task
        if not self._ledger.was_split(task.cohort_id):
            self._ledger.record_incident(task.cohort_id, "split", "each member continues alone")
        for part in split_members(task):
            self._submit(Running(part, ancestors=(*running.ancestors, task.cohort_id)))

    def _halve(self, running: Running) -> None:
        """Train a cohort in two halves from its checkpoint."""
        task = running.task
        if not self._ledger.was_halved(task.cohort_id):
            self._ledger.record_incident(task.cohort_id, "halved", "too little memory for all of its members at once")
        for part in halve(task, self._seed_of):
            self._enter(Running(part, ancestors=(*running.ancestors, task.cohort_id)))

    def forget(self, cohort_id: str, ids: Sequence[str]) -> None:
        """Schedule an ended cohort's checkpoints for deletion: a kill may have come between its end and that."""
        self._obsolete.append(cohort_id)
        if self._ledger.was_split(cohort_id):
            self._obsolete += [name_part(cohort_id, each_id) for each_id in ids]
        if self._ledger.was_halved(cohort_id):
            for number, half in enumerate(halve_trials(ids, self._seed_of)):
                self.forget(name_half(cohort_id, number), half)

    def release(self, cohort_ids: Iterable[str]) -> None:
        """Schedule the checkpoints of cohorts for deletion in which no trial is paused any more."""
        self._obsolete += cohort_ids

    def remove_checkpoints(self, paused: Set[str]) -> None:
        """Delete what is no longer needed, after the ledger's transaction has been committed.

        Args:
            paused: cohorts whose checkpoints hold paused trials.
        """
        for cohort_id in set(self._obsolete) - self._kept - paused:
            remove(self._folders.checkpoint(cohort_id))
        self._obsolete.clear()
