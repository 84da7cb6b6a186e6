"""A worker process: receives tasks from a socket, trains with one thread, reports. Started by LocalExecutor."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from bakeoff.data.cache import Images
from bakeoff.data.opener import DiskOpener, Opener
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.errors import BakeoffError, ImagesChangedError, StorageError
from bakeoff.messages import CheckTask, DataView, FinalTestTask, ProbeTask, Task, TimingTask, task_id

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve tasks until the driver's end of the socket closes.

    Command line: the socket's file descriptor, the workspace, the folder to search for images (may be empty), and
    torch's name of the device.
    """
    connection = Connection(int(sys.argv[1]))
    workspace = Path(sys.argv[2])
    opener = DiskOpener(Path(sys.argv[3]) if sys.argv[3] else None)
    device = sys.argv[4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the driver handles it.
    _die_with_driver()
    threading.Thread(target=_leave_with_driver, args=(connection.fileno(),), daemon=True).start()
    use_one_thread()
    while True:
        try:
            task: Task = connection.recv()
            run_task(task, workspace, opener, connection.send, device)
        except (EOFError, OSError):
            return  # the driver is gone


def _die_with_driver() -> None:
    """Let Linux kill this process when the driver dies, because a suspended worker would not notice.

    When resumed it would continue beside another driver's workers, and could overwrite a newer checkpoint.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _leave_with_driver(descriptor: int) -> None:
    """End this process when the driver is gone, even during an epoch: two drivers must never train the same cohort."""
    watcher = select.poll()
    watcher.register(descriptor, 0)  # POLLHUP and POLLERR are always reported
    watcher.poll()
    os._exit(1)


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
        send(TaskLost(task_id=task_id(task), died=False, reason=str(error), is_final=True))
    except BakeoffError as error:
        send(TaskLost(task_id=task_id(task), died=False, reason=str(error)))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"
        detail = traceback.format_exc()
        full = _is_out_of_memory(error)
        send(TaskLost(task_id=task_id(task), died=False, reason=reason, detail=detail, out_of_memory=full))
    if device.startswith("cuda"):
        _return_memory()


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def _return_memory() -> None:
    """Release GPU memory between tasks: other workers share it."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _dispatch(task: Task, workspace: Path, opener: Opener, send: Callable[[Report], None], device: str) -> None:
    # Imported here: these import torch, and a worker reports that it is alive before.
    from bakeoff.engine.device_context import find_context

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
    elif isinstance(task, ProbeTask) and context.prepared:
        from bakeoff.engine.device_probe import probe_on_device

        probe_on_device(task, _open(task.data, opener), workspace, send, context)
    elif isinstance(task, ProbeTask):
        from bakeoff.engine.probe import probe_numeric

        probe_numeric(task, _open(task.data, opener), workspace, send)
    else:
        from bakeoff.engine.cohort import train_cohort

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
