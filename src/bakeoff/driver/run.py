"""Runs a plan: opens its images, chooses numeric modes, drives the strategy, runs the final test."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from bakeoff.catalog.networks.user_code import CodeHashes
from bakeoff.catalog.numeric_modes import Modes
from bakeoff.data.files import list_once
from bakeoff.data.source import show_text
from bakeoff.driver.devices import CPU_DEVICE, Device
from bakeoff.driver.executors.base import Executor
from bakeoff.driver.facts import Datasets, open_datasets
from bakeoff.driver.final_tests import run_final_tests
from bakeoff.driver.identity import IdentifiedTrial, identify
from bakeoff.driver.loop import Driver, count_model_images
from bakeoff.driver.missing import describe_missing
from bakeoff.driver.numeric import decide_modes
from bakeoff.driver.observer import RunObserver
from bakeoff.driver.paths import describe_parts, resolve_paths
from bakeoff.driver.preflight import check_networks
from bakeoff.driver.searches import SearchRecorder, place_trial
from bakeoff.driver.transfer import Resolver
from bakeoff.errors import NetworkError, WorkspaceError
from bakeoff.ledger.read import count_outdated
from bakeoff.ledger.store import Ledger
from bakeoff.search.registry import choose_strategy
from bakeoff.search.searching import Searching
from bakeoff.search.strategy import Strategy
from bakeoff.study.ensembles import list_ensemble_arms
from bakeoff.study.fit import check_fit
from bakeoff.study.plan import Plan, PlannedTrial, study_id, warn
from bakeoff.study.sameness import describe_same_arms, list_first
from bakeoff.workspace import Folders, find_half_written


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """The outcome of a run.

    Attributes:
        num_reused: trials found in the ledger, not trained again.
        final_test_complete: whether every finished trial was evaluated on the test split; False if no final test was
            requested.
        missing: why the test split stayed closed, if arms are missing; else empty.
    """

    study_id: str
    num_reused: int
    final_test_complete: bool
    missing: str = ""


def run_plan(
    plan: Plan,
    *,
    command: str,
    workspace: Path,
    data_dir: Path | None,
    executor: Executor,
    observer: RunObserver,
    final_test: bool = True,
    allow_missing: bool = False,
    device: Device = CPU_DEVICE,
    wait: bool = True,
) -> RunCounts:
    """Train the trials of `plan` that are not in the workspace's ledger, then run the final test.

    Args:
        plan: the trials.
        workspace: the folder of the ledger.
        data_dir: searched first for images.
        executor: where trials run.
        observer: receives progress.
        command: the command that repeats this run, stored in the ledger for reports.
        final_test: False leaves the test split closed.
        allow_missing: whether to open it even if trials of an arm failed.
        device: the device of the executor's workers.
        wait: whether to wait for another driver of this workspace to end; otherwise it is an error.

    Raises:
        WorkspaceError, DataError, NetworkError: before anything is trained.
    """
    folders = Folders(workspace)
    with _lock(workspace, observer, wait), _open_ledger(folders) as ledger:
        started = time.monotonic()
        plan, datasets = _open_images(plan, data_dir, observer)
        resolver = Resolver(plan.study.name, ledger.connection, folders, data_dir, datasets)
        resolve = resolver.resolve
        plan = replace(plan, trials=tuple(map(resolve, plan.trials)))
        for note in resolver.notes:
            observer.message(note)
        identity = study_id(plan.study)
        for note in describe_retraining(count_outdated(ledger.connection, identity)):
            observer.message(note)
        is_begun = ledger.numeric_of(identity) is not None
        if not is_begun:
            check_networks(plan.trials, datasets, executor, say=observer.message)
        codes = CodeHashes()
        modes = decide_modes(plan, identity, datasets, ledger, executor, device, codes, say=observer.message)
        known = [identify(planned, datasets, modes.of(planned.block), device.kind, codes) for planned in plan.trials]
        _remove_leftovers(folders, {*(each.trial_id for each in known), *ledger.placed_trials(identity)})
        _register(plan, identity, known, datasets, modes, command, ledger)
        reused = _find_reused(known, ledger)
        fresh = list({each.trial_id: each.planned for each in known if each.trial_id not in reused}.values())
        if is_begun:
            check_networks(fresh, datasets, executor, say=observer.message)
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
                keep_train=bool(list_ensemble_arms(plan.study.ensembles)),
                codes=codes,
            )
            driver.run()
            ledger.end_asking(identity)
            ledger.keep_placements(identity, driver.asked_ids)
            missing = "" if allow_missing or not final_test else describe_missing(driver.finals, ledger)
            if missing:
                observer.message(missing)
            complete = final_test and not missing
            if complete:
                complete = run_final_tests(
                    identity,
                    _finished(driver.finals, ledger),
                    modes=modes,
                    datasets=datasets,
                    ledger=ledger,
                    executor=executor,
                    observer=observer,
                )
            _remove_leftovers(folders, driver.trained_ids)  # left by workers that were killed
        finally:
            ledger.add_seconds(identity, time.monotonic() - started)
        num_reused = len(reused) if plan.study.search is None else driver.num_reused
        return RunCounts(study_id=identity, num_reused=num_reused, final_test_complete=complete, missing=missing)


def _open_images(plan: Plan, data_dir: Path | None, observer: RunObserver) -> tuple[Plan, Datasets]:
    """Return the plan with resolved paths, and facts about its images, which are opened; report notes before training.

    Raises:
        DataError, NetworkError: something is missing or does not fit.
    """
    num_notes = len(plan.notes)
    plan = resolve_paths(plan)
    with list_once():
        for note in chain(warn(plan.study), plan.notes[num_notes:], describe_parts(plan, data_dir)):
            observer.message(note)
        datasets = open_datasets(plan.blocks, data_dir)
    check_plan(plan, datasets)
    for note in describe_same_arms(plan, datasets):
        observer.message(note)
    return plan, datasets


def describe_retraining(num_outdated: int) -> Iterator[str]:
    """Report trials in the ledger that are not used because they were trained before folds were nested."""
    if num_outdated:
        yield (
            f"{num_outdated:,} fold trials in the ledger will be retrained: an earlier bakeoff let early stopping "
            "and selection use the held-out fold."
        )


def _register(
    plan: Plan,
    identity: str,
    known: Sequence[IdentifiedTrial],
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
    """Lock the workspace against a second driver, which waits or raises an error."""
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
            observer.message(f"{workspace}: another bakeoff is running in this workspace; waiting for it to finish.")
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
            f"{folders.ledger}: the ledger cannot be written ({error}). Finished work is kept; "
            "once the cause is fixed, run the same command again to resume."
        ) from error
    finally:
        ledger.close()


def _start_observer(
    observer: RunObserver, plan: Plan, fresh: Sequence[PlannedTrial], datasets: Datasets, num_reused: int
) -> None:
    """Announce what will be trained: for a search an upper bound, with candidates counted as trials of the default."""
    num_trials, num_images = len(fresh), count_model_images(fresh, datasets)
    if plan.study.search is not None:
        num_trials = plan.most_trials - num_reused
        num_images = round(num_trials * count_model_images(plan.trials, datasets) / len(plan.trials))
    observer.start(num_trials=num_trials, num_model_images=num_images, num_reused=num_reused, plan=plan)


def _record_search(
    strategy: Strategy, plan: Plan, ledger: Ledger, identity: str, observer: RunObserver
) -> Callable[[Sequence[IdentifiedTrial]], object]:
    """Return the recorder of a search's progress; other strategies are recorded completely in advance."""
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
    """Remove the partial files of workers that were killed. The lock must be held."""
    places = {folders.weights(trial_id).parent for trial_id in trial_ids} | {folders.checkpoint("any").parent}
    for path in [path for place in places for path in find_half_written(place)]:
        path.unlink(missing_ok=True)


def check_plan(plan: Plan, datasets: Datasets) -> None:
    """Check before training that every recipe fits its images, if facts about them are known.

    Raises:
        NetworkError: a recipe does not fit its images; names the block and the arm.
    """
    for trial in list_first(plan.trials):
        facts = datasets.get(trial.data.source)
        if facts is None:
            continue
        for field, message in check_fit(trial.recipe, facts.shape_HWC, facts.class_names):
            where = f"block '{show_text(trial.block)}', arm '{show_text(trial.arm)}'"
            raise NetworkError(f"{where}: {field}: {message}")


def _find_reused(known: Sequence[IdentifiedTrial], ledger: Ledger) -> set[str]:
    states = ledger.trial_states(each.trial_id for each in known)
    return {trial_id for trial_id, state in states.items() if state != "failed"}


def _finished(known: Sequence[IdentifiedTrial], ledger: Ledger) -> list[IdentifiedTrial]:
    states = ledger.trial_states(each.trial_id for each in known)
    return [each for each in known if states.get(each.trial_id) == "done"]
