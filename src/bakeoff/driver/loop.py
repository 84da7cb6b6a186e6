"""The driver loop: ask a strategy, group its trials into cohorts, submit them, write the ledger, tell the strategy.

Workers report to this loop, and only it writes the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.driver.cohort_tracker import CohortTracker
from bakeoff.driver.cohorts import Group, group_trials, limits_of, name_cohort
from bakeoff.driver.context import OpenRun
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.facts import Datasets
from bakeoff.driver.identity import IdentifiedTrial, position_of
from bakeoff.driver.machine import describe_hardware, describe_versions, format_machine
from bakeoff.driver.pauses import Pauses
from bakeoff.messages import (
    CohortTask,
    EpochDone,
    Member,
    Notice,
    TaskDone,
    TrialDone,
    TrialFailed,
    TrialPaused,
)
from bakeoff.search.strategy import Ending, Pruned, Strategy, TrialOutcome
from bakeoff.study.plan import PlannedTrial

POLL_SECONDS = 0.25


class Driver:
    """Drives one strategy to its end.

    Args:
        strategy: decides which trials run next.
        run: its context, ledger and images.
        modes: the study's numeric modes.
        resolve: resolves references in a trial's recipe, such as an earlier study's weights.
        on_asked: called with the trials of every ask, even if empty.
        keep_train: whether finished trials store their predictions on the training images, for ensembles.
    """

    def __init__(
        self,
        strategy: Strategy,
        run: OpenRun,
        modes: Modes,
        *,
        resolve: Callable[[PlannedTrial], PlannedTrial] = lambda planned: planned,
        on_asked: Callable[[Sequence[IdentifiedTrial]], object] = lambda known: None,
        keep_train: bool = False,
    ) -> None:
        self._strategy, self._run, self._modes = strategy, run, modes
        self._resolve, self._on_asked, self._keep_train = resolve, on_asked, keep_train
        self._executor, self._observer = run.context.executor, run.context.observer
        self._ledger, self._datasets = run.ledger, run.datasets
        device = run.context.device
        self._limits = replace(limits_of(device), modes=modes)
        self._known: dict[str, IdentifiedTrial] = {}
        self._finals: list[IdentifiedTrial] = []
        self._deferred: list[IdentifiedTrial] = []
        self._pauses = Pauses(run.ledger)
        self._reused: set[str] = set()
        self._untold: dict[str, list[PlannedTrial]] = {}
        self._shown: dict[str, int] = {}
        self._training = CohortTracker(self._executor, run.ledger, run.context.folders, self._observer, self._seed_of)
        self._machine = format_machine({**describe_hardware(), **device.record, **describe_versions()})

    def run(self) -> None:
        """Ask, train and tell until the strategy asks for nothing more and nothing runs."""
        while self._ask() or self._training:
            # With nothing in training there is nothing to wait for: the strategy uses results from the ledger.
            reports = self._executor.poll(POLL_SECONDS if self._training else 0.0)
            with self._ledger.transaction():
                for report in reports:
                    self._handle(report)
            self._training.remove_checkpoints(self._pauses.cohorts)

    @property
    def asked_ids(self) -> frozenset[str]:
        """The trials the strategy has requested."""
        return frozenset(self._known)

    @property
    def trained_ids(self) -> frozenset[str]:
        """The requested trials that were not in the ledger."""
        return frozenset(self._known.keys() - self._reused)

    @property
    def finals(self) -> tuple[IdentifiedTrial, ...]:
        """The number of requests for trials that are not a search's."""
        return tuple(self._finals)

    @property
    def num_reused(self) -> int:
        """The number of requested trials, without a search's, that were in the ledger."""
        return len({each.trial_id for each in self._finals} & self._reused)

    def _ask(self) -> bool:
        """Start what the strategy requests; return whether it requested anything."""
        self._prune(self._strategy.prune())
        fresh = [self._identify(planned) for planned in self._strategy.ask()]
        self._finals += [each for each in fresh if each.planned.stage == "final"]
        self._on_asked(fresh)
        in_training = self._training.targets
        asked, self._deferred = [*self._deferred, *fresh], []
        unique: dict[str, IdentifiedTrial] = {}
        for each in asked:
            if in_training.get(each.trial_id, each.planned.until) != each.planned.until:
                self._deferred.append(each)  # it is being trained to another epoch, requested by another block
                continue
            unique.setdefault(each.trial_id, each)  # one trial may have several positions: it is trained once
            self._known.setdefault(each.trial_id, each)
            self._untold.setdefault(each.trial_id, []).append(each.planned)
        ids = {position_of(each.planned): each.trial_id for each in unique.values()}
        for group in group_trials([each.planned for each in unique.values()], self._datasets, self._limits):
            self._start(group, [ids[position_of(planned)] for planned in group.trials], in_training.keys())
        return bool(asked)

    def _identify(self, planned: PlannedTrial) -> IdentifiedTrial:
        return self._run.identify(self._resolve(planned), self._modes.of(planned.block))

    def _start(self, group: Group, ids: Sequence[str], in_training: Set[str]) -> None:
        """Submit a group's members that are neither in the ledger nor in training; report those in the ledger."""
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
            self._training.forget(task.cohort_id, ids)
        elif task.members:
            self._training.enter(task)

    def _make_task(self, group: Group, ids: Sequence[str], ended: frozenset[str], in_training: Set[str]) -> CohortTask:
        until = group.trials[0].until
        members = [each_id for each_id in ids if each_id not in ended | in_training]
        views = group.own_views(self._datasets)
        return CohortTask(
            cohort_id=name_cohort(ids, until, group.num_threads),
            label=group.label,
            members=tuple(
                Member(trial_id=each_id, recipe=planned.recipe, view=view, code=self._known[each_id].code)
                for each_id, planned, view in zip(ids, group.trials, views, strict=True)
                if each_id not in ended | in_training
            ),
            data=group.view(self._datasets),
            numeric=self._modes.of(group.trials[0].block),
            finished=ended,
            resume_from=self._pauses.find_sources(members, until),
            until=until,
            keep_train=self._keep_train and group.trials[0].stage == "final",
            metrics=group.trials[0].metrics,
            in_turn=self._modes.takes_turns(group.shape),
            num_threads=group.num_threads,
        )

    def _handle(self, report: Report) -> None:
        if isinstance(report, Started):
            self._training.begin(report)
        elif isinstance(report, EpochDone):
            self._ledger.record_epoch(report)
            self._show_epoch(report)
            self._training.note_progress(report)
        elif isinstance(report, TrialDone | TrialFailed):
            self._end_trial(report)
        elif isinstance(report, TrialPaused):
            self._pause_trial(report)
        elif isinstance(report, Notice):
            self._ledger.record_incident(report.task_id, "notice", report.text)
            self._observer.message(report.text)
        elif isinstance(report, TaskDone):
            self._training.end(report.task_id)
        elif isinstance(report, TaskLost):
            failure = self._training.lose(report)
            if failure is not None:
                self._end_trial(failure)
                self._training.drop(report.task_id)

    def _end_trial(self, report: TrialDone | TrialFailed) -> None:
        running = self._training.close(report.trial_id)
        if running is None:
            return  # reported again from a checkpoint; the ledger has it
        known = self._known[report.trial_id]
        if isinstance(report, TrialDone):
            self._ledger.record_done(report, known.content, running.task.cohort_id, running.machine or self._machine)
            self._tell(report.trial_id, "done")
        else:
            self._ledger.record_failed(report, known.content, running.task.cohort_id, running.machine or self._machine)
            self._tell(report.trial_id, "diverged" if report.diverged else "failed")
            self._observer.message(f"{known.planned.arm}, {running.task.label}: {report.reason}")
        self._count_done(known, failed=isinstance(report, TrialFailed))

    def _count_done(self, known: IdentifiedTrial, *, failed: bool = False) -> None:
        unused = known.planned.recipe.epochs - self._shown.pop(known.trial_id, 0)
        num_images = self._datasets[known.planned.data.source].count_train(known.planned)
        self._observer.trial_done(failed=failed, num_images_spared=unused * num_images)

    def _pause_trial(self, report: TrialPaused) -> None:
        running = self._training.close(report.trial_id)
        if running is None:
            return  # reported again after a loss
        self._ledger.record_pause(report, running.task.cohort_id)
        self._pauses.add(report.trial_id, running.task.cohort_id)
        self._tell(report.trial_id, "paused")

    def _prune(self, pruned: Sequence[Pruned]) -> None:
        """Record the paused trials that a search prunes; release their checkpoints."""
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
            self._training.release(self._pauses.remove(known.trial_id))

    def _tell(self, trial_id: str, state: Ending) -> None:
        """Report a trial's current record to every requester."""
        outcome = self._ledger.outcome_of(trial_id) if state == "done" else None
        seen = {} if outcome is None else outcome.validation
        if state != "paused":
            self._training.release(self._pauses.remove(trial_id))
        epoch = self._shown.get(trial_id, 0)
        for planned in self._untold.pop(trial_id):
            most_epochs = planned.recipe.epochs if state != "paused" else planned.until or 0
            curve = self._ledger.curve_of(trial_id, most_epochs) if planned.stage == "search" else ()
            self._strategy.tell(
                TrialOutcome(
                    trial=planned,
                    state=state,
                    validation=seen,
                    curve=curve,
                    num_parameters=None if outcome is None else outcome.num_parameters,
                    seconds=None if outcome is None else outcome.seconds,
                )
            )
            self._observer.trial_seen(planned, state=state, epoch=epoch, validation=seen)
        self._observer.trial_recorded(
            self._known[trial_id].planned, trial_id=trial_id, state=state, epoch=epoch, train={}, validation=seen
        )

    def _seed_of(self, trial_id: str) -> int:
        return self._known[trial_id].planned.seed

    def _show_epoch(self, report: EpochDone) -> None:
        running = self._training.find(report.trial_id)
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
        self._observer.trial_recorded(
            planned,
            trial_id=report.trial_id,
            state="training",
            epoch=report.epoch,
            train=report.train,
            validation=report.validation,
        )


def count_model_images(trials: Sequence[PlannedTrial], datasets: Datasets) -> int:
    """Return the maximum number of images that `trials` will train on, summed over epochs."""
    return sum(trial.recipe.epochs * datasets[trial.data.source].count_train(trial) for trial in trials)
