"""A worker process: receives tasks from a pipe, trains, reports. Started by LocalExecutor."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from bakeoff.data.cache import Images
from bakeoff.data.opener import DiskOpener, Opener
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.driver.executors.channel import BROKEN, receive, send, take_over
from bakeoff.errors import BakeoffError, ImagesChangedError, StorageError
from bakeoff.messages import (
    CheckTask,
    DataView,
    FeaturesTask,
    FinalTestTask,
    ProbeTask,
    Task,
    TimingTask,
    count_threads,
    task_id,
)
from bakeoff.system import die_with_parent

MOST_CHARACTERS = 10_000
"""Of a reason, and of a traceback: the message of an exception may hold a whole tensor."""


def main() -> None:
    """Serve tasks until the driver is gone.

    Command line: the workspace, the folder to search for images (may be empty), and torch's name of the device.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the driver handles it.
    die_with_parent()
    incoming, outgoing = take_over()
    tasks = SimpleQueue[Task]()
    threading.Thread(target=_receive_tasks, args=(incoming, tasks), daemon=True).start()
    workspace, device = Path(sys.argv[1]), sys.argv[3]
    opener = DiskOpener(Path(sys.argv[2]) if sys.argv[2] else None)
    _load_engine()
    with suppress(*BROKEN):
        while True:
            run_task(tasks.get(), workspace, opener, lambda report: send(report, outgoing), device)


def _receive_tasks(incoming: BinaryIO, tasks: SimpleQueue[Task]) -> None:
    """Queue tasks; end this process when the driver is gone, even during an epoch.

    Two drivers must never train the same cohort.
    """
    try:
        with suppress(*BROKEN):
            while True:
                tasks.put(receive(incoming))
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(1)


def _load_engine() -> None:
    """Import what training needs, before the first task comes: another worker may still probe for it.

    None of it is garbage, and looking for garbage takes a tenth of the time: it is neither searched now nor later.
    """
    gc.disable()
    use_one_thread()
    import bakeoff.engine.cohort  # noqa: F401  # and all that it imports

    gc.freeze()
    gc.enable()


def use_one_thread() -> None:
    """Limit torch to one thread in this process, and silence its warnings."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def run_task(task: Task, workspace: Path, opener: Opener, send: Callable[[Report], None], device: str = "cpu") -> None:
    """Run one task, sending every event; an exception becomes a TaskLost with its reason."""
    try:
        _dispatch(task, workspace, opener, send, device)
    except StorageError as error:
        send(TaskLost(task_id=task_id(task), died=False, reason=_make_plain(str(error)), is_final=True))
    except BakeoffError as error:
        send(TaskLost(task_id=task_id(task), died=False, reason=_make_plain(str(error))))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        reason = _make_plain(f"{type(error).__name__}: {lines[0]}")
        detail = _make_plain(traceback.format_exc())
        full = _is_out_of_memory(error)
        send(TaskLost(task_id=task_id(task), died=False, reason=reason, detail=detail, out_of_memory=full))
    if device.startswith("cuda"):
        _return_memory()


def _make_plain(text: str) -> str:
    """Return a text that a ledger and a terminal can hold: shortened, and with lone surrogates escaped."""
    half = MOST_CHARACTERS // 2
    shown = text if len(text) <= MOST_CHARACTERS else f"{text[:half]} ... {text[-half:]}"
    return shown.encode(errors="backslashreplace").decode()


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def _return_memory() -> None:
    """Release GPU memory between tasks: other workers share it."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _dispatch(task: Task, workspace: Path, opener: Opener, send: Callable[[Report], None], device: str) -> None:
    # Imported here, because these import torch.
    import torch

    from bakeoff.engine.device_context import find_context

    torch.set_num_threads(count_threads(task))
    context = find_context(device)
    if isinstance(task, CheckTask):
        from bakeoff.engine.preflight import check_task

        check_task(task, workspace, send)
    elif isinstance(task, TimingTask):
        from bakeoff.engine.timing import time_task

        time_task(task, workspace, send)
    elif isinstance(task, FinalTestTask):
        from bakeoff.engine.final_test import run_final_test

        run_final_test(task, workspace, opener, send, context)
    elif isinstance(task, FeaturesTask):
        from bakeoff.engine.feature_task import compute_features

        compute_features(task, workspace, opener, send, context)
    elif isinstance(task, ProbeTask) and context.prepared:
        from bakeoff.engine.device_probe import probe_on_device

        probe_on_device(task, _open(task.data, opener), workspace, send, context)
    elif isinstance(task, ProbeTask):
        from bakeoff.engine.probe import probe_numeric

        probe_numeric(task, _open(task.data, opener), workspace, send)
    else:
        from bakeoff.engine.cohort import train_cohort
        from bakeoff.engine.feature_task import forget_body

        forget_body()
        train_cohort(task, _open(task.data, opener), workspace, send, context)


def _open(view: DataView, opener: Opener) -> Images:
    images = opener.training(view.source)
    if images.fingerprint != view.fingerprint:
        raise ImagesChangedError(
            f"{view.source.label}: the images changed while the study was running. Run the study again."
        )
    return images


if __name__ == "__main__":
    main()
