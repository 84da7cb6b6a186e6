"""Runs a plan: opens its images, chooses numeric modes, drives the strategy, runs the final test."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

from filelock import FileLock, Timeout

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.data.files import list_once, obtain_files
from bakeoff.data.opener import DiskOpener
from bakeoff.data.progress import watch_reading
from bakeoff.data.source import show_text
from bakeoff.driver.audits import add_audits, audit_blocks, keep_audits
from bakeoff.driver.context import OpenRun, RunContext
from bakeoff.driver.facts import Datasets, list_sources, open_datasets
from bakeoff.driver.features import FeatureExecutor
from bakeoff.driver.final_tests import run_final_tests
from bakeoff.driver.identity import IdentifiedTrial
from bakeoff.driver.loop import Driver, count_model_images
from bakeoff.driver.missing import describe_missing
from bakeoff.driver.numeric import decide_modes
from bakeoff.driver.overlap import dump_overlaps, keep_labels
from bakeoff.driver.paths import describe_parts, resolve_paths
from bakeoff.driver.pilot import take_pilot
from bakeoff.driver.preflight import check_networks
from bakeoff.driver.pretrained import describe_preparation, keep_names
from bakeoff.driver.prospects import find_prospects
from bakeoff.driver.searches import SearchRecorder, place_trial
from bakeoff.driver.transfer import Resolver
from bakeoff.errors import NetworkFitError, UnwritableError, WorkspaceInUseError
from bakeoff.ledger.read import count_older, count_other_images, count_outdated
from bakeoff.ledger.rescore import rescore
from bakeoff.ledger.store import Ledger
from bakeoff.messages import ENGINE_VERSION
from bakeoff.search.registry import choose_strategy
from bakeoff.search.searching import Searching
from bakeoff.search.strategy import Strategy
from bakeoff.stats.metrics import is_on_demand
from bakeoff.study.ensembles import list_ensemble_arms
from bakeoff.study.fit import check_fit
from bakeoff.study.metrics import check_metrics
from bakeoff.study.plan import Plan, PlannedTrial, study_id, warn
from bakeoff.study.sameness import check_race, describe_same_arms, list_first
from bakeoff.system import remove
from bakeoff.workspace import HASH, Folders, find_half_written, list_folders


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


def run_plan(plan: Plan, context: RunContext) -> RunCounts:
    """Train the trials of `plan` that are not in the workspace's ledger, then run the final test.

    Raises:
        WorkspaceError, DataError, NetworkError: before anything is trained.
    """
    context = _order_features(context)
    with _lock(context), _open_ledger(context.folders) as ledger:
        started = time.monotonic()
        plan, datasets = _open_images(plan, context)
        run = OpenRun(context=context, study_id=study_id(plan.study), ledger=ledger, datasets=datasets)
        asked = plan
        plan, resolver = _resolve_weights(asked, run)
        modes, num_reused = _start(plan, run, resolver)
        driver = _make_driver(plan if plan.study.search is None else keep_names(plan, asked), run, modes, resolver)
        try:
            driver.run()
            _end_asking(driver, run)
            missing = _find_missing(driver, run)
            complete = context.final_test and context.pilot is None and not missing
            _rescore({each.trial_id for each in driver.finals}, plan, run)
            if complete:
                complete = run_final_tests(_finished(driver.finals, ledger), run, modes)
            _remove_leftovers(context.folders, driver.trained_ids)  # left by workers that were killed
        finally:
            ledger.add_seconds(run.study_id, time.monotonic() - started)
        if plan.study.search is not None:
            num_reused = driver.num_reused
        return RunCounts(study_id=run.study_id, num_reused=num_reused, final_test_complete=complete, missing=missing)


def _order_features(context: RunContext) -> RunContext:
    """Return the context with an executor that has features computed before the heads that train on them."""
    opener, device = DiskOpener(context.data_dir), context.device.kind
    say = context.observer.message
    return replace(context, executor=FeatureExecutor(context.executor, context.folders, opener, device, say))


def _open_images(plan: Plan, context: RunContext) -> tuple[Plan, Datasets]:
    """Return the plan with resolved paths, and facts about its images, which are opened; report notes before training.

    Raises:
        DataError, NetworkError: something is missing or does not fit.
        StudyError: a race has nothing to decide.
    """
    num_notes, say = len(plan.notes), context.observer.message
    plan = resolve_paths(plan)
    for source in list_sources(plan.blocks):
        if source.path is not None:
            obtain_files(source, context.data_dir)
    with list_once(), watch_reading(say):
        audits = audit_blocks(plan.blocks, context.data_dir, say)
        for note in chain(warn(plan.study), plan.notes[num_notes:], describe_parts(plan, context.data_dir)):
            say(note)
        datasets = add_audits(open_datasets(plan.blocks, context.data_dir), audits)
        keep_audits(audits, datasets, context.folders, context.data_dir)
    for source, facts in datasets.items():
        for note in filter(None, (facts.audit, *(f"{source.label}: {note}" for note in audits[source].notes))):
            say(note)
    check_plan(plan, datasets)
    check_race(plan, datasets)
    check_metrics(plan, {source: facts.num_classes for source, facts in datasets.items()})
    for note in chain(describe_same_arms(plan, datasets), describe_preparation(plan, datasets)):
        say(note)
    return plan, datasets


def _resolve_weights(plan: Plan, run: OpenRun) -> tuple[Plan, Resolver]:
    """Return the plan with its transfers resolved, and what resolves those of later trials."""
    context = run.context
    keep_labels(list_sources(plan.blocks), context.folders, context.data_dir)
    resolver = Resolver(plan.study.name, run.ledger.connection, context.folders, context.data_dir, run.datasets)
    plan = replace(plan, trials=tuple(map(resolver.resolve, plan.trials)))
    for note in resolver.notes:
        context.observer.message(note)
    return plan, resolver


def _start(plan: Plan, run: OpenRun, resolver: Resolver) -> tuple[Modes, int]:
    """Check networks, choose numeric modes, register the study; return the modes and the number of reused trials."""
    connection = run.ledger.connection
    num_older = count_older(connection, run.study_id, str(ENGINE_VERSION))
    fingerprints = [facts.fingerprint for facts in run.datasets.values()]
    num_other = count_other_images(connection, run.study_id, fingerprints, str(ENGINE_VERSION))
    for note in describe_retraining(count_outdated(connection, run.study_id), num_older, num_other):
        run.context.observer.message(note)
    is_resumed = run.ledger.numeric_of(run.study_id) is not None
    if not is_resumed:
        _check_networks(plan.trials, run)
    modes = decide_modes(plan, run)
    known = [run.identify(planned, modes.of(planned.block)) for planned in plan.trials]
    trained = [each for each in known if run.context.pilot is None or each.planned.replicate < run.context.pilot]
    trial_ids = {each.trial_id for each in known}
    _remove_leftovers(run.context.folders, trial_ids.union(run.ledger.placed_trials(run.study_id)))
    reused = _find_reused(trained, run.ledger)
    _rescore(reused, plan, run)
    _register(plan, known, run, modes, resolver)
    run.context.observer.study_opened(study_id=run.study_id, workspace=run.context.workspace, plan=plan)
    fresh = list({each.trial_id: each.planned for each in trained if each.trial_id not in reused}.values())
    if is_resumed:
        _check_networks(fresh, run)
    if fresh:
        _warn_of_power(plan, run)
    _announce(plan, fresh, run, len(reused))
    return modes, len(reused)


def _warn_of_power(plan: Plan, run: OpenRun) -> None:
    """Say before training that the margin cannot be settled as planned; a small version is not conclusive anyway."""
    if plan.study.decide.margin is None:
        return
    context = run.context
    prospects = find_prospects(
        plan, workspace=context.workspace, data_dir=context.data_dir, connection=run.ledger.connection
    )
    if prospects.warning:
        context.observer.message(prospects.warning)


def _check_networks(trials: Sequence[PlannedTrial], run: OpenRun) -> None:
    check_networks(trials, run.datasets, run.context.executor, say=run.context.observer.message)


def _make_driver(plan: Plan, run: OpenRun, modes: Modes, resolver: Resolver) -> Driver:
    strategy = choose_strategy(plan).make(take_pilot(plan, run.context.pilot), run.datasets)
    return Driver(
        strategy,
        run,
        modes,
        resolve=resolver.resolve,
        on_asked=_record_search(strategy, plan, run),
        keep_train=bool(list_ensemble_arms(plan.study.ensembles)),
    )


def _end_asking(driver: Driver, run: OpenRun) -> None:
    """Record that the strategy asks for nothing more; remove trials that it never asked for from the study.

    Not after a pilot: the other trials are trained later.
    """
    if run.context.pilot is not None:
        return
    run.ledger.end_asking(run.study_id)
    run.ledger.keep_placements(run.study_id, driver.asked_ids)


def _find_missing(driver: Driver, run: OpenRun) -> str:
    """Return and report why the test split, if requested, stays closed; empty if no arm is missing."""
    context = run.context
    if context.allow_missing or not context.final_test or context.pilot is not None:
        return ""
    missing = describe_missing(driver.finals, run.ledger)
    if missing:
        run.context.observer.message(missing)
    return missing


def describe_retraining(num_outdated: int, num_older: int, num_other_images: int = 0) -> Iterator[str]:
    """Report trials in the ledger that are not used: trained before folds were nested, by another engine, on others."""
    if num_older:
        yield (
            f"{num_older:,} trials of this study in the ledger were trained by another version of bakeoff, whose "
            "rounding differs; they will be retrained."
        )
    if num_other_images:
        yield (
            f"{num_other_images:,} trials of this study in the ledger were trained on other images: files have changed "
            "since, or an earlier bakeoff read or chose them in another way; they will be retrained."
        )
    if num_outdated:
        yield (
            f"{num_outdated:,} fold trials in the ledger will be retrained: an earlier bakeoff let early stopping "
            "and selection use the held-out fold."
        )


def _register(plan: Plan, known: Sequence[IdentifiedTrial], run: OpenRun, modes: Modes, resolver: Resolver) -> None:
    run.ledger.register_study(
        run.study_id,
        name=plan.study.name,
        document=plan.study.model_dump(mode="json"),
        placements=[place_trial(each) for each in known],
        numeric=modes.dump(),
        command=run.context.command,
        facts={
            block.label: {
                **run.datasets[block.data.source].record(),
                **dump_overlaps(resolver.overlaps, resolver.unknown, block.label),
            }
            for block in plan.blocks
        },
        asking=plan.study.search is not None,
    )


@contextmanager
def _lock(context: RunContext) -> Iterator[None]:
    """Lock the workspace against a second driver, which waits or raises an error."""
    workspace, lock = context.workspace, FileLock(context.folders.driver_lock)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if not context.wait:
                raise WorkspaceInUseError(
                    f"{workspace}: another bakeoff is running in this workspace. Wait for it, or use another "
                    "--workspace DIR."
                ) from error
            context.observer.message(
                f"{workspace}: another bakeoff is running in this workspace; waiting for it to finish."
            )
            lock.acquire()
    except OSError as error:
        raise UnwritableError(
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
        raise UnwritableError(
            f"{folders.ledger}: the ledger cannot be written ({error}). Finished work is kept; "
            "once the cause is fixed, run the same command again to resume."
        ) from error
    finally:
        ledger.close()


def _announce(plan: Plan, fresh: Sequence[PlannedTrial], run: OpenRun, num_reused: int) -> None:
    """Announce what will be trained: for a search an upper bound, with candidates counted as trials of the default."""
    num_trials, num_images = len(fresh), count_model_images(fresh, run.datasets)
    if plan.study.search is not None:
        num_trials = plan.most_trials - num_reused
        num_images = round(num_trials * count_model_images(plan.trials, run.datasets) / len(plan.trials))
    run.context.observer.start(num_trials=num_trials, num_model_images=num_images, num_reused=num_reused, plan=plan)


def _record_search(strategy: Strategy, plan: Plan, run: OpenRun) -> Callable[[Sequence[IdentifiedTrial]], object]:
    """Return the recorder of a search's progress; other strategies are recorded completely in advance."""
    if not isinstance(strategy, Searching):
        return lambda known: None
    searches = {block.label: block.search for block in plan.blocks if block.search is not None}
    recorder = SearchRecorder(
        strategy,
        run.ledger,
        run.study_id,
        searches=searches,
        metric=plan.study.decide.metric,
        placed=plan.trials,
        on_change=run.context.observer.search_seen,
    )
    return recorder.take


def _remove_leftovers(folders: Folders, trial_ids: Set[str]) -> None:
    """Remove the partial files of workers that were killed. The lock must be held."""
    places = {folders.weights(trial_id).parent for trial_id in trial_ids}
    places |= {folders.checkpoint("any").parent, *list_folders(folders.features, HASH)}
    for path in [path for place in places for path in find_half_written(place)]:
        remove(path)


def check_plan(plan: Plan, datasets: Datasets) -> None:
    """Check before training that every recipe fits its images, if facts about them are known.

    Raises:
        NetworkError: a recipe does not fit its images; names the block and the arm.
    """
    for trial in list_first(plan.trials):
        facts = datasets.get(trial.data.source)
        if facts is None:
            continue
        for field, message in check_fit(trial.recipe, facts.shape_HWC, facts.class_names, trial.data.source):
            where = f"block '{show_text(trial.block)}', arm '{show_text(trial.arm)}'"
            raise NetworkFitError(f"{where}: {field}: {message}")


def _find_reused(known: Sequence[IdentifiedTrial], ledger: Ledger) -> set[str]:
    states = ledger.trial_states(each.trial_id for each in known)
    return {trial_id for trial_id, state in states.items() if state != "failed"}


def _rescore(trial_ids: Set[str], plan: Plan, run: OpenRun) -> None:
    """Score trials of earlier studies by the metrics on demand that this study names."""
    needed = dict.fromkeys(name for trial in plan.trials for name in trial.metrics if is_on_demand(name))
    with run.ledger.transaction():
        rescore(run.ledger.connection, run.context.folders, trial_ids, needed)


def _finished(known: Sequence[IdentifiedTrial], ledger: Ledger) -> list[IdentifiedTrial]:
    states = ledger.trial_states(each.trial_id for each in known)
    return [each for each in known if states.get(each.trial_id) == "done"]
