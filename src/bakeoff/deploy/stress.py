"""Puts a study's finished trials to common corruptions of the test images, after its final test."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from bakeoff.catalog.model_record import ModelRecord
from bakeoff.cgroups import count_cores
from bakeoff.data.cache import Images
from bakeoff.data.corruptions import SEVERITIES, Condition, corrupt_images, list_conditions
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test
from bakeoff.deploy.records import find_record
from bakeoff.errors import (
    ImagesChangedError,
    LostFileError,
    NotYetError,
    OptionError,
    UnknownPartError,
    WorkerError,
    nearest,
)
from bakeoff.ledger.corrupted import load_corrupted, record_stress, save_corrupted
from bakeoff.ledger.given import find_given_study
from bakeoff.ledger.read import open_reading
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.gather import gather_report, gather_sources
from bakeoff.report.robustness import gather_robustness
from bakeoff.report.text import count, show_text
from bakeoff.system import MAX_POOL_PROCESSES
from bakeoff.workspace import Folders, check_workspace

DEFAULT_SEVERITIES = (1, 3, 5)

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_MOST_VALUES = 2**27
"""Corrupted values held at a time by one worker."""


@dataclass(frozen=True, kw_only=True)
class StressTask:
    """Models to predict the test images of one block, corrupted in one way.

    Attributes:
        source: of the images. `fingerprint`: of its test images at the final test.
        records: of the models.
        folders: the workspace.
    """

    block: str
    condition: Condition
    source: DataSource
    fingerprint: str
    records: tuple[ModelRecord, ...]
    folders: Folders
    data_dir: Path | None


def stress_study(
    study: str,
    workspace: str | Path = "runs",
    *,
    corruptions: Sequence[str] = (),
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    block: str | None = None,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ReportInput:
    """Let every finished trial of a study predict its corrupted test images; return the study's report.

    What is stored is not computed again, so a run that was interrupted goes on. The look is recorded before it is
    taken; it changes no verdict of the study.

    Args:
        study: its name or id.
        workspace: the folder of its ledger.
        corruptions: names; all if empty.
        severities: of 1..5.
        block: one block; None for all.
        data_dir: searched first for images.
        workers: processes; None for one per core, 1 for this process.
        say: told what is done.

    Returns:
        The report, whose facts on robustness are about what was asked for alone.

    Raises:
        WorkspaceError: no such study or block, no final test yet, weights missing.
        DataError: the test images are missing, or are others than those of the final test.
        BakeoffError: an unknown corruption or severity, damaged weights, a worker that died.
    """
    conditions = list_conditions(corruptions, severities)
    folders, images_folder = Folders(check_workspace(workspace)), None if data_dir is None else Path(data_dir)
    with open_reading(folders) as connection:
        identity = find_given_study(connection, study)
        sources = gather_sources(connection, identity, folders, images_folder)
        _check_final_test(sources)
        tasks = list(_list_tasks(sources, _choose_blocks(sources, block), conditions))
        _say_plan(tasks, say)
        _open_images.cache_clear()
        for number, told in enumerate(_run(tasks, min(workers or count_cores(), MAX_POOL_PROCESSES)), 1):
            say(f"{number} of {len(tasks)}: {told}")
        asked = gather_robustness(_keep_block(sources, block), conditions)
    report = gather_report(identity, folders, data_dir=images_folder)
    shown = {} if asked is None else {"robustness": replace(asked, is_asked=True)}
    return replace(report, facts={**report.facts, **shown})


def _check_final_test(sources: Sources) -> None:
    record = sources.record
    done = [each for each in record.results if each.state == "done"]
    is_running = record.asking or record.in_final_test or len(record.results) < record.num_planned
    if is_running or not done or not all("test" in each.metrics for each in done):
        name = show_text(sources.study.name)
        raise NotYetError(
            f"The final test of study '{name}' has not been held, and stress opens the same test images: finish the "
            "study first, with `bakeoff run`."
        )


def _choose_blocks(sources: Sources, block: str | None) -> list[str]:
    blocks = [each.label for each in sources.plan.blocks]
    if block is not None and block not in blocks:
        listed = ", ".join(map(show_text, blocks))
        raise UnknownPartError(f"No block '{show_text(block)}'. There are: {listed}.{nearest(block, blocks)}")
    return blocks if block is None else [block]


def _keep_block(sources: Sources, block: str | None) -> Sources:
    """Return the study with the tests of one block alone, so that only this one is looked at."""
    return sources if block is None else replace(sources, tested={block: sources.tested.get(block, frozenset())})


def _list_tasks(sources: Sources, blocks: Sequence[str], conditions: Sequence[Condition]) -> Iterator[StressTask]:
    """Yield what is not stored yet, and record the look at all of it."""
    for block in blocks:
        done = [each for each in sources.record.results if (each.block, each.state) == (block, "done")]
        trials = list(dict.fromkeys(each.trial_id for each in done))
        if not trials:
            continue
        source = next(each.data.source for each in sources.plan.blocks if each.label == block)
        fingerprint = _find_fingerprint(block, sources)
        missing = {
            condition: [
                trial
                for trial in trials
                if load_corrupted(sources.folders.corrupted(trial, *condition), fingerprint) is None
            ]
            for condition in conditions
        }
        wanted = set().union(*missing.values())
        records = {trial: find_record(trial, block, sources) for trial in trials if trial in wanted}
        record_stress(
            sources.folders,
            sources.study_id,
            block=block,
            conditions=conditions,
            trials=trials,
            fingerprint=fingerprint,
        )
        for condition, needed in missing.items():
            if needed:
                yield StressTask(
                    block=block,
                    condition=condition,
                    source=source,
                    fingerprint=fingerprint,
                    records=tuple(records[trial] for trial in needed),
                    folders=sources.folders,
                    data_dir=sources.data_dir,
                )


def _find_fingerprint(block: str, sources: Sources) -> str:
    fingerprints = sources.tested.get(block, frozenset())
    if len(fingerprints) != 1:
        raise LostFileError(
            f"{show_text(block)}: its trials were tested on {len(fingerprints)} versions of the test images: run the "
            "study again in a new workspace."
        )
    return next(iter(fingerprints))


def _say_plan(tasks: Sequence[StressTask], say: Callable[[str], None]) -> None:
    if not tasks:
        say("all of it is stored already.")
        return
    num_trials = len({record.trial_id for task in tasks for record in task.records})
    num_conditions = len({task.condition for task in tasks})
    say(f"{count(num_trials, 'trial')} on {count(num_conditions, 'condition')}")


def _run(tasks: Sequence[StressTask], num_workers: int) -> Iterator[str]:
    """Run tasks, in this process if one worker is enough; yield a line on each."""
    if min(num_workers, len(tasks)) <= 1:
        yield from map(run_stress, tasks)
        return
    yield from _run_in_pool(tasks, min(num_workers, len(tasks)))


def _run_in_pool(tasks: Iterable[StressTask], num_workers: int) -> Iterator[str]:
    pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        with _one_thread_each():
            futures = [pool.submit(run_stress, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise WorkerError(
            "A worker died, perhaps for lack of memory. What is stored is kept: run the same command again, with "
            "fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have libraries for linear algebra use one thread in the processes that are started meanwhile."""
    kept = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def _start_worker() -> None:
    import signal

    from bakeoff.driver.executors.worker import use_one_thread

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    use_one_thread()


def run_stress(task: StressTask) -> str:
    """Store what the models of a task predict; return a line about it.

    Raises:
        DataError: the test images are others than those of the final test.
    """
    from bakeoff.engine.model import load_model

    images = _open_images(task.source, task.data_dir)
    if images.fingerprint != task.fingerprint:
        raise ImagesChangedError(f"{task.source.label}: the test images changed since the final test.")
    predicted: dict[str, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = {
        record.trial_id: [] for record in task.records
    }
    step = max(1, _MOST_VALUES // int(np.prod(images.shape_HWC)))
    for start in range(0, len(images.labels), step):
        pixels = corrupt_images(images.pixels[start : start + step], *task.condition, first=start)
        for record in task.records:
            model = load_model(task.folders.weights(record.trial_id), record, task.folders)
            predicted[record.trial_id].append(model.predict(pixels).argmax(axis=1))
    accuracies = []
    for trial_id, parts in predicted.items():
        classes_N = np.concatenate(parts)
        path = task.folders.corrupted(trial_id, *task.condition)
        save_corrupted(path, classes_N, images.labels, images.fingerprint)
        accuracies.append(np.mean(classes_N == images.labels))
    name, severity = task.condition
    mean = f"mean accuracy {np.mean(accuracies):.1%} of {count(len(accuracies), 'trial')}"
    return f"{task.block}: {name} at severity {severity}: {mean}"


@lru_cache(maxsize=1)
def _open_images(source: DataSource, data_dir: Path | None) -> Images:
    """Open the test images, once for consecutive tasks of a block."""
    return open_test(source, data_dir)


def parse_severities(text: str) -> tuple[int, ...]:
    """Return severities given as "1,3,5".

    Raises:
        BakeoffError: something that is none.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        known = ",".join(map(str, SEVERITIES))
        raise OptionError(f"--severities {text} is not a list of severities. Write some of {known}.") from None
