"""Run a plan: open what it needs, choose the numeric modes, drive the strategy, hold the exam."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from bakeoff.data.source import show_text
from bakeoff.errors import NetworkError, WorkspaceError
from bakeoff.execution.devices import PROCESSOR, Device
from bakeoff.execution.driver import Driver, count_model_images
from bakeoff.execution.exams import hold_exams
from bakeoff.execution.executor import Executor
from bakeoff.execution.facts import Datasets, open_datasets
from bakeoff.execution.identity import Known, identify
from bakeoff.execution.machine import count_cores
from bakeoff.execution.numeric import choose_modes
from bakeoff.execution.observer import Observer
from bakeoff.execution.searches import SearchProgress, SearchRecorder, place_trial
from bakeoff.execution.transfer import Resolver
from bakeoff.ledger.store import Ledger
from bakeoff.networks.user_code import CodeHashes
from bakeoff.search.registry import choose_strategy
from bakeoff.search.searching import Searching
from bakeoff.search.strategy import Strategy
from bakeoff.study.fit import check_fit
from bakeoff.study.plan import Plan, PlannedTrial, study_id, warn
from bakeoff.training.folders import Folders, find_half_written
from bakeoff.training.modes import Modes


class RunObserver(Observer, Protocol):
    """Sees a run as it goes, from its start."""

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Plan | None = None) -> None:
        """The run begins; what is in the ledger already is not trained. A search plans more as it goes."""

    def search_seen(self, searches: Sequence[SearchProgress]) -> None:
        """The searches of a study, block by block, have gone on."""


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """What a run did.

    Attributes:
        num_reused: trials found in the ledger, not trained now.
        exam_complete: whether every finished trial was evaluated on the test split; False when no exam was asked for.
    """

    study_id: str
    num_reused: int
    exam_complete: bool


def run_plan(
    plan: Plan,
    *,
    command: str,
    workspace: Path,
    data_dir: Path | None,
    executor: Executor,
    observer: RunObserver,
    exam: bool = True,
    device: Device = PROCESSOR,
    wait: bool = True,
) -> RunCounts:
    """Train whatever of `plan` the workspace's ledger does not hold yet, then hold the exam.

    Args:
        plan: the trials.
        workspace: the folder of the ledger.
        data_dir: searched first for images.
        executor: where trials run.
        observer: shown what happens.
        command: what repeats this run, kept in the ledger for reports.
        exam: False leaves the test split closed.
        device: what the executor's workers compute on.
        wait: whether to wait for another driver of this workspace to end; else it is an error.

    Raises:
        WorkspaceError, DataError, NetworkError: before anything is trained.
    """
    folders = Folders(workspace)
    with _lock(workspace, observer, wait), _open_ledger(folders) as ledger:
        started = time.monotonic()
        for note in warn(plan.study):
            observer.message(note)
        datasets = open_datasets(plan.blocks, data_dir)
        check_plan(plan, datasets)
        resolve = Resolver(plan.study.name, ledger.connection, folders, data_dir).resolve
        plan = replace(plan, trials=tuple(map(resolve, plan.trials)))
        identity = study_id(plan.study)
        modes = _decide_modes(plan, identity, datasets, ledger, executor, device)
        codes = CodeHashes()
        known = [identify(planned, datasets, modes.of(planned.block), device.kind, codes) for planned in plan.trials]
        _remove_leftovers(folders, {*(each.trial_id for each in known), *ledger.placed_trials(identity)})
        _register(plan, identity, known, datasets, modes, command, ledger)
        reused = _find_reused(known, ledger)
        fresh = list({each.trial_id: each.planned for each in known if each.trial_id not in reused}.values())
        _start_observer(observer, plan, fresh, datasets, len(reused))
        strategy = choose_strategy(plan).make(plan, datasets)
        try:
            driver = Driver(
                strategy=strategy,
                executor=executor,
                ledger=ledger,
                folders=folders,
                datasets=datasets,
                modes=modes,
                observer=observer,
                resolve=resolve,
                on_asked=_record_search(strategy, plan, ledger, identity, observer),
                device=device,
                codes=codes,
            )
            driver.run()
            ledger.end_asking(identity)
            ledger.keep_placements(identity, driver.asked_ids)
            complete = exam and hold_exams(
                identity,
                _finished(driver.finals, ledger),
                modes=modes,
                datasets=datasets,
                ledger=ledger,
                executor=executor,
                observer=observer,
            )
            _remove_leftovers(folders, driver.trained_ids)  # of workers that were killed on the way
        finally:
            ledger.add_seconds(identity, time.monotonic() - started)
        num_reused = len(reused) if plan.study.search is None else driver.num_reused
        return RunCounts(study_id=identity, num_reused=num_reused, exam_complete=complete)


def _register(
    plan: Plan,
    identity: str,
    known: Sequence[Known],
    datasets: Datasets,
    modes: Modes,
    command: str,
    ledger: Ledger,
) -> None:
    ledger.register_study(
        identity,
        name=plan.study.name,
        document=plan.study.model_dump(mode="json"),
        placements=[place_trial(each) for each in known],
        numeric=modes.spell(),
        command=command,
        facts={block.label: datasets[block.data.source].record() for block in plan.blocks},
        asking=plan.study.search is not None,
    )


@contextmanager
def _lock(workspace: Path, observer: RunObserver, wait: bool) -> Iterator[None]:
    """Keep a second driver out of the workspace: it waits its turn, or is turned away."""
    lock = FileLock(Folders(workspace).driver_lock)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if not wait:
                raise WorkspaceError(
                    f"{workspace}: another bakeoff is running in this workspace. Wait for it, or use another "
                    "--workspace DIR."
                ) from error
            observer.message(f"{workspace}: another bakeoff is running in this workspace; this one waits for its end.")
            lock.acquire()
    except OSError as error:
        raise WorkspaceError(
            f"{workspace}: this workspace cannot be written ({error.strerror or error}). "
            "Choose another with --workspace DIR."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _open_ledger(folders: Folders) -> Iterator[Ledger]:
    ledger = Ledger(folders)
    try:
        yield ledger
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"{folders.ledger}: the ledger cannot be written ({error}). What was finished is kept; "
            "when the cause is mended, the same command goes on from there."
        ) from error
    finally:
        ledger.close()


def _start_observer(
    observer: RunObserver, plan: Plan, fresh: Sequence[PlannedTrial], datasets: Datasets, num_reused: int
) -> None:
    """Say what is to be trained: of a search the most it comes to, taking its candidates for trials of the default."""
    num_trials, num_images = len(fresh), count_model_images(fresh, datasets)
    if plan.study.search is not None:
        num_trials = plan.most_trials - num_reused
        num_images = round(num_trials * count_model_images(plan.trials, datasets) / len(plan.trials))
    observer.start(num_trials=num_trials, num_model_images=num_images, num_reused=num_reused, plan=plan)


def _record_search(
    strategy: Strategy, plan: Plan, ledger: Ledger, identity: str, observer: RunObserver
) -> Callable[[Sequence[Known]], object]:
    """Return what writes a search down as it goes; of other strategies all is written before they begin."""
    if not isinstance(strategy, Searching):
        return lambda known: None
    searches = {block.label: block.search for block in plan.blocks if block.search is not None}
    recorder = SearchRecorder(
        strategy,
        ledger,
        identity,
        searches=searches,
        metric=plan.study.decide.metric,
        placed=plan.trials,
        on_change=observer.search_seen,
    )
    return recorder.take


def _remove_leftovers(folders: Folders, trial_ids: Set[str]) -> None:
    """Remove the half-written files of workers that were killed. The lock must be held."""
    places = {folders.weights(trial_id).parent for trial_id in trial_ids} | {folders.checkpoint("any").parent}
    for path in [path for place in places for path in find_half_written(place)]:
        path.unlink(missing_ok=True)


def check_plan(plan: Plan, datasets: Datasets) -> None:
    """Check what of every recipe depends on its images, where facts of them are known, before anything trains.

    Raises:
        NetworkError: a recipe does not fit its images; names the block and the arm.
    """
    checked: set[tuple[str, str]] = set()
    for trial in plan.trials:
        if (trial.block, trial.arm) in checked:
            continue
        checked.add((trial.block, trial.arm))
        facts = datasets.get(trial.data.source)
        if facts is None:
            continue
        for field, message in check_fit(trial.recipe, facts.shape_HWC, facts.class_names):
            where = f"block '{show_text(trial.block)}', arm '{show_text(trial.arm)}'"
            raise NetworkError(f"{where}: {field}: {message}")


def _decide_modes(
    plan: Plan, identity: str, datasets: Datasets, ledger: Ledger, executor: Executor, device: Device
) -> Modes:
    """Return how the study was begun; else the mode it names, with all that can be fused, or what probes find."""
    begun = ledger.numeric_of(identity)
    if begun is not None:
        modes = Modes.parse(begun)
        # What a processor trains faster apart, or in smaller cohorts, is fused on a card all the same.
        return modes if device.kind == "cpu" else replace(modes, apart=frozenset(), num_lanes=1)
    if plan.study.numeric != "auto":
        modes = Modes(common=plan.study.numeric)
    else:
        modes = choose_modes(plan.trials, plan.blocks, datasets, ledger, executor, device)
    return replace(modes, num_lanes=count_cores() if device.kind == "cpu" else 1)


def _find_reused(known: Sequence[Known], ledger: Ledger) -> set[str]:
    states = ledger.trial_states(each.trial_id for each in known)
    return {trial_id for trial_id, state in states.items() if state != "failed"}


def _finished(known: Sequence[Known], ledger: Ledger) -> list[Known]:
    states = ledger.trial_states(each.trial_id for each in known)
    return [each for each in known if states.get(each.trial_id) == "done"]
