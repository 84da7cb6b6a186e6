"""The one loop: ask a strategy, group what it asks into cohorts, hand them to an executor, write the ledger, tell.

Workers report upward; this loop alone writes the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from bakeoff.errors import WorkspaceError
from bakeoff.execution.cohorts import Group, group_trials, limits_of, name_cohort
from bakeoff.execution.devices import PROCESSOR, Device
from bakeoff.execution.executor import GOES_ON, Executor, Report, Started, TaskLost
from bakeoff.execution.facts import Datasets
from bakeoff.execution.identity import Known, identify
from bakeoff.execution.machine import describe_hardware, describe_versions
from bakeoff.execution.parts import cut_in_two, halve, name_half, name_part, take_apart
from bakeoff.execution.pauses import Pauses
from bakeoff.ledger.store import Ledger
from bakeoff.search.strategy import Ending, Pruned, Strategy, Told
from bakeoff.study.plan import PlannedTrial
from bakeoff.training.folders import Folders
from bakeoff.training.modes import Modes
from bakeoff.training.task import (
    CohortTask,
    EpochDone,
    Member,
    Notice,
    TaskDone,
    TrialDone,
    TrialFailed,
    TrialPaused,
)

POLL_SECONDS = 0.25

MOST_LOSSES = 2
"""Workers that a cohort may take down in the same epoch before its members are tried alone, or one alone is failed."""


class Observer(Protocol):
    """Sees a run as it goes, to show it."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """A cohort is being trained."""

    def epoch_done(
        self,
        label: str,
        *,
        epoch: int,
        num_epochs: int,
        num_members: int,
        num_model_images: int,
        replayed: bool = False,
    ) -> None:
        """A member of a cohort has finished an epoch; `replayed`: in an earlier run, and it is read back now."""

    def trial_seen(
        self, trial: PlannedTrial, *, state: Ending | Literal["training"], epoch: int, validation: Mapping[str, float]
    ) -> None:
        """A trial stands where it did not stand before; one from the ledger, too. Epoch 0 where it is not known.

        The metrics on its validation split are those of the epoch while it trains, of the kept weights once it is done.
        """

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """A trial has come to its end."""

    def cohort_done(self, label: str) -> None:
        """A cohort has come to its end."""

    def message(self, text: str) -> None:
        """Something people should know."""


@dataclass
class _Running:
    """A submitted cohort: its task, and the members still open.

    Attributes:
        num_losses: workers lost since it last finished an epoch.
        ancestors: the cohorts it was split or halved from, the first of them first.
        machine: what its worker runs on; empty for the driver's own.
    """

    task: CohortTask
    num_losses: int = 0
    ancestors: tuple[str, ...] = ()
    machine: str = ""
    open_ids: set[str] = field(default_factory=set)


class Driver:
    """Drives one strategy to its end.

    Args:
        strategy: who is tried next.
        executor: where trials run.
        ledger: where what happened is written.
        folders: the workspace, for the checkpoints of finished cohorts.
        datasets: facts of the opened training images.
        modes: how the study's arithmetic runs.
        observer: shown what happens.
        resolve: makes definite what a trial's recipe only names, such as an earlier study's weights.
        on_asked: called with the trials of every ask, also of an empty one.
        device: where trials are computed; it decides how far they are fused.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        executor: Executor,
        ledger: Ledger,
        folders: Folders,
        datasets: Datasets,
        modes: Modes,
        observer: Observer,
        resolve: Callable[[PlannedTrial], PlannedTrial] = lambda planned: planned,
        on_asked: Callable[[Sequence[Known]], object] = lambda known: None,
        device: Device = PROCESSOR,
    ) -> None:
        self._device, self._limits = device, replace(limits_of(device), modes=modes)
        self._resolve, self._on_asked = resolve, on_asked
        self._strategy, self._executor, self._ledger = strategy, executor, ledger
        self._folders, self._datasets, self._modes, self._observer = folders, datasets, modes, observer
        self._running: dict[str, _Running] = {}
        self._known: dict[str, Known] = {}
        self._finals: list[Known] = []
        self._deferred: list[Known] = []
        self._pauses = Pauses(ledger)
        self._reused: set[str] = set()
        self._untold: dict[str, list[PlannedTrial]] = {}
        self._shown: dict[str, int] = {}
        self._obsolete: list[str] = []
        self._kept: set[str] = set()
        machine = {**describe_hardware(), **device.record, **describe_versions()}
        self._machine = json.dumps(machine, sort_keys=True)

    def run(self) -> None:
        """Ask, train and tell until the strategy asks no more and nothing runs."""
        while self._ask() or self._running:
            # With nothing in training there is nothing to wait for: the strategy goes on from what the ledger told it.
            reports = self._executor.poll(POLL_SECONDS if self._running else 0.0)
            with self._ledger.transaction():
                for report in reports:
                    self._handle(report)
            self._remove_checkpoints()

    @property
    def asked_ids(self) -> frozenset[str]:
        """The trials the strategy has asked for."""
        return frozenset(self._known)

    @property
    def finals(self) -> tuple[Known, ...]:
        """The trials asked for that are not a search's, as often as they were."""
        return tuple(self._finals)

    @property
    def num_reused(self) -> int:
        """Trials asked for, a search's left out, that were in the ledger."""
        return len({each.trial_id for each in self._finals} & self._reused)

    def _ask(self) -> bool:
        """Start what the strategy asks for; return whether it asked for anything."""
        self._prune(self._strategy.prune())
        fresh = [self._identify(planned) for planned in self._strategy.ask()]
        self._finals += [each for each in fresh if each.planned.stage == "final"]
        self._on_asked(fresh)
        in_training = {
            each_id: running.task.until for running in self._running.values() for each_id in running.open_ids
        }
        asked, self._deferred = [*self._deferred, *fresh], []
        unique: dict[str, Known] = {}
        for each in asked:
            if in_training.get(each.trial_id, each.planned.until) != each.planned.until:
                self._deferred.append(each)  # it trains to another epoch just now, asked for by another block
                continue
            unique.setdefault(each.trial_id, each)  # one trial may stand in several places: it is trained once
            self._known.setdefault(each.trial_id, each)
            self._untold.setdefault(each.trial_id, []).append(each.planned)
        ids = {id(each.planned): each.trial_id for each in unique.values()}
        for group in group_trials([each.planned for each in unique.values()], self._datasets, self._limits):
            self._start(group, [ids[id(planned)] for planned in group.trials], in_training.keys())
        return bool(asked)

    def _identify(self, planned: PlannedTrial) -> Known:
        numeric = self._modes.of(planned.block)
        return identify(self._resolve(planned), self._datasets, numeric, self._device.kind)

    def _start(self, group: Group, ids: Sequence[str], in_training: Set[str]) -> None:
        """Submit the members of a group that are neither in the ledger nor in training; tell of those in the ledger."""
        states = {
            each_id: self._pauses.find_state(each_id, planned)
            for each_id, planned in zip(ids, group.trials, strict=True)
        }
        known = frozenset(each_id for each_id, state in states.items() if state is not None)
        for each_id in ids:
            state = states[each_id]
            if state is not None:
                self._reused.add(each_id)
                self._tell(each_id, state)
        task = self._make_task(group, ids, known, in_training)
        if not task.members and not in_training & set(ids) and "paused" not in states.values():
            self._forget(task.cohort_id, ids)
        elif task.members:
            self._enter(_Running(task))

    def _enter(self, running: _Running) -> None:
        """Submit a cohort, or the parts that an earlier run has taken it into."""
        if self._ledger.was_halved(running.task.cohort_id):
            self._halve(running)
        elif self._ledger.was_split(running.task.cohort_id):
            self._split(running)
        else:
            self._submit(running)

    def _forget(self, cohort_id: str, ids: Sequence[str]) -> None:
        """Have the checkpoints of an ended cohort deleted: a kill may have come between its end and that."""
        self._obsolete.append(cohort_id)
        if self._ledger.was_split(cohort_id):
            self._obsolete += [name_part(cohort_id, each_id) for each_id in ids]
        if self._ledger.was_halved(cohort_id):
            for number, half in enumerate(cut_in_two(ids, self._seed_of)):
                self._forget(name_half(cohort_id, number), half)

    def _make_task(self, group: Group, ids: Sequence[str], ended: frozenset[str], in_training: Set[str]) -> CohortTask:
        until = group.trials[0].until
        members = [each_id for each_id in ids if each_id not in ended | in_training]
        views = group.own_views(self._datasets)
        return CohortTask(
            cohort_id=name_cohort(ids, until),
            label=group.label,
            members=tuple(
                Member(trial_id=each_id, recipe=planned.recipe, view=view)
                for each_id, planned, view in zip(ids, group.trials, views, strict=True)
                if each_id not in ended | in_training
            ),
            data=group.view(self._datasets),
            numeric=self._modes.of(group.trials[0].block),
            finished=ended,
            resume_from=self._pauses.find_sources(members, until),
            until=until,
        )

    def _submit(self, running: _Running) -> None:
        running.open_ids = {member.trial_id for member in running.task.members}
        self._running[running.task.cohort_id] = running
        self._executor.submit(running.task)

    def _handle(self, report: Report) -> None:
        if isinstance(report, Started) and report.task_id in self._running:
            running = self._running[report.task_id]
            task, running.machine = running.task, report.machine
            self._observer.cohort_started(task.label, len(task.members))
        elif isinstance(report, EpochDone):
            self._ledger.record_epoch(report)
            self._show_epoch(report)
            self._note_progress(report)
        elif isinstance(report, TrialDone | TrialFailed):
            self._end_trial(report)
        elif isinstance(report, TrialPaused):
            self._pause_trial(report)
        elif isinstance(report, Notice):
            self._ledger.record_incident(report.task_id, "notice", report.text)
            self._observer.message(report.text)
        elif isinstance(report, TaskDone):
            self._end_cohort(self._running.pop(report.task_id))
        elif isinstance(report, TaskLost):
            self._recover(self._running.pop(report.task_id), report)

    def _end_trial(self, report: TrialDone | TrialFailed) -> None:
        running = self._cohort_of(report.trial_id)
        if running is None:
            return  # reported again from a checkpoint; the ledger has it
        known = self._known[report.trial_id]
        running.open_ids.discard(report.trial_id)
        if isinstance(report, TrialDone):
            self._ledger.record_done(report, known.content, running.task.cohort_id, running.machine or self._machine)
            self._tell(report.trial_id, "done")
        else:
            self._ledger.record_failed(report, known.content, running.task.cohort_id, running.machine or self._machine)
            self._tell(report.trial_id, "diverged" if report.diverged else "failed")
            self._observer.message(f"{known.planned.arm}, {running.task.label}: {report.reason}")
        self._count_done(known, failed=isinstance(report, TrialFailed))

    def _count_done(self, known: Known, *, failed: bool = False) -> None:
        unused = known.planned.recipe.epochs - self._shown.pop(known.trial_id, 0)
        num_images = self._datasets[known.planned.data.source].count_train(known.planned)
        self._observer.trial_done(failed=failed, num_images_spared=unused * num_images)

    def _pause_trial(self, report: TrialPaused) -> None:
        running = self._cohort_of(report.trial_id)
        if running is None:
            return  # reported again after a loss
        running.open_ids.discard(report.trial_id)
        self._ledger.record_pause(report, running.task.cohort_id)
        self._pauses.rest(report.trial_id, running.task.cohort_id)
        self._tell(report.trial_id, "paused")

    def _prune(self, pruned: Sequence[Pruned]) -> None:
        """Record the trials that a search gives up where they paused; let go of their checkpoints."""
        for each in pruned:
            known = self._identify(each.trial)
            outcome = self._ledger.outcome_of(known.trial_id)
            if outcome is None or outcome.state == "failed":
                self._ledger.record_pruned(
                    known.trial_id,
                    num_epochs=each.trial.until or 0,
                    reason=each.reason,
                    content=known.content,
                    cohort_id=self._ledger.pauses_of(known.trial_id).get(each.trial.until or 0, ""),
                    machine=self._machine,
                )
                self._count_done(known)
            self._obsolete += self._pauses.wake(known.trial_id)

    def _tell(self, trial_id: str, state: Ending) -> None:
        """Tell everybody who asked for a trial what the ledger now holds of it."""
        outcome = self._ledger.outcome_of(trial_id) if state == "done" else None
        if state != "paused":
            self._obsolete += self._pauses.wake(trial_id)
        for planned in self._untold.pop(trial_id):
            most_epochs = planned.recipe.epochs if state != "paused" else planned.until or 0
            curve = self._ledger.curve_of(trial_id, most_epochs) if planned.stage == "search" else ()
            self._strategy.tell(
                Told(
                    trial=planned,
                    state=state,
                    validation={} if outcome is None else outcome.validation,
                    curve=curve,
                    num_parameters=None if outcome is None else outcome.num_parameters,
                    seconds=None if outcome is None else outcome.seconds,
                )
            )
            seen = {} if outcome is None else outcome.validation
            self._observer.trial_seen(planned, state=state, epoch=self._shown.get(trial_id, 0), validation=seen)

    def _end_cohort(self, running: _Running) -> None:
        self._observer.cohort_done(running.task.label)
        self._obsolete.append(running.task.cohort_id)
        needed = {ancestor for other in self._running.values() for ancestor in other.ancestors}
        self._obsolete += [ancestor for ancestor in running.ancestors if ancestor not in needed]

    def _recover(self, running: _Running, lost: TaskLost) -> None:
        """Try a lost cohort again: as it is where its worker died, then each member alone, then fail it.

        Workers die of many things that are no trial's fault, so a cohort may lose as many as it likes while it gets
        on: only losses without an epoch finished in between count. One that a device had too little memory for is cut
        in two instead, again and again.
        """
        task = running.task
        if lost.is_final:
            raise WorkspaceError(f"{lost.reason} {GOES_ON}")
        self._ledger.record_incident(task.cohort_id, "lost" if lost.died else "error", lost.detail or lost.reason)
        self._observer.cohort_done(task.label)
        members = tuple(member for member in task.members if member.trial_id in running.open_ids)
        ended = {member.trial_id for member in task.members} - running.open_ids
        running.task = replace(task, members=members, finished=task.finished | ended)
        running.num_losses += 1
        if not members:
            self._end_cohort(running)
        elif lost.out_of_memory and len(members) > 1:
            self._observer.message(
                f"{task.label}: too little memory for {len(members)} members; trying them in two halves"
            )
            self._halve(running)
        elif lost.died and running.num_losses < MOST_LOSSES:
            self._observer.message(f"{task.label}: {lost.reason}; trying again")
            self._submit(running)
        elif len(members) > 1:
            self._observer.message(f"{task.label}: {lost.reason}; trying each member alone")
            self._split(running)
        else:
            self._submit_failure(running, members[0], lost.reason)

    def _submit_failure(self, running: _Running, member: Member, reason: str) -> None:
        """Record the one member of a lost cohort as failed; its checkpoint stays for a later run."""
        self._kept.update((running.task.cohort_id, *running.ancestors))
        self._running[running.task.cohort_id] = running
        self._end_trial(TrialFailed(trial_id=member.trial_id, reason=reason, diverged=False))
        del self._running[running.task.cohort_id]

    def _split(self, running: _Running) -> None:
        """Train each member alone from the cohort's checkpoint on, to find the one that takes the others down."""
        task = running.task
        if not self._ledger.was_split(task.cohort_id):
            self._ledger.record_incident(task.cohort_id, "split", "each member goes on alone")
        for part in take_apart(task):
            self._submit(_Running(part, ancestors=(*running.ancestors, task.cohort_id)))

    def _halve(self, running: _Running) -> None:
        """Train a cohort in two halves from its checkpoint on."""
        task = running.task
        if not self._ledger.was_halved(task.cohort_id):
            self._ledger.record_incident(task.cohort_id, "halved", "too little memory for all of its members at once")
        for part in halve(task, self._seed_of):
            self._enter(_Running(part, ancestors=(*running.ancestors, task.cohort_id)))

    def _seed_of(self, trial_id: str) -> int:
        return self._known[trial_id].planned.seed

    def _cohort_of(self, trial_id: str) -> _Running | None:
        return next((running for running in self._running.values() if trial_id in running.open_ids), None)

    def _note_progress(self, report: EpochDone) -> None:
        running = None if report.replayed else self._cohort_of(report.trial_id)
        if running is not None:
            running.num_losses = 0

    def _show_epoch(self, report: EpochDone) -> None:
        running = self._cohort_of(report.trial_id)
        if running is None or report.epoch <= self._shown.get(report.trial_id, 0):
            return  # reported again after a loss
        self._shown[report.trial_id] = report.epoch
        planned = self._known[report.trial_id].planned
        self._observer.epoch_done(
            running.task.label,
            epoch=report.epoch,
            num_epochs=planned.recipe.epochs,
            num_members=len(running.open_ids),
            num_model_images=self._datasets[planned.data.source].count_train(planned),
            replayed=report.replayed,
        )
        for place in self._untold.get(report.trial_id, ()):
            self._observer.trial_seen(place, state="training", epoch=report.epoch, validation=report.validation)

    def _remove_checkpoints(self) -> None:
        """Delete what is no longer needed, after the ledger's transaction has been committed."""
        for cohort_id in set(self._obsolete) - self._kept - self._pauses.cohorts:
            self._folders.checkpoint(cohort_id).unlink(missing_ok=True)
        self._obsolete.clear()


def count_model_images(trials: Sequence[PlannedTrial], datasets: Datasets) -> int:
    """Return the images that `trials` will see at most, summed over epochs."""
    return sum(trial.recipe.epochs * datasets[trial.data.source].count_train(trial) for trial in trials)
