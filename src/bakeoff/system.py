"""What differs between Linux, macOS and Windows. Everything else in bakeoff calls what all of them have.

`tests/test_portability.py` enforces this.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

IS_WINDOWS = os.name == "nt"

CHANGE_TIME_IS_KEPT = not IS_WINDOWS
"""Whether a file's `st_ctime` is the time of its last change. On Windows it is the time of its creation."""

MAX_POOL_PROCESSES = 61 if IS_WINDOWS else sys.maxsize
"""The most processes of a `ProcessPoolExecutor`: Windows waits for at most 64 objects at a time."""

INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))
"""The signals that ask a process to end: Ctrl-C, `kill`, and on Windows Ctrl-Break."""

WORKER_FLAGS: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""Flags that start a process to which Windows does not send the Ctrl-C of its console."""

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_RETRY_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def count_available_cores() -> int:
    """Return the number of cores that this process may use by its affinity, or that there are (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    import psutil

    process = psutil.Process()
    affinity = process.cpu_affinity() if IS_WINDOWS and hasattr(process, "cpu_affinity") else None
    return len(affinity or ()) or os.cpu_count() or 1


def name_processor() -> str:
    """Return the CPU's name; on macOS and Windows, where Linux's file is missing, a coarser one."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def find_interpreter() -> tuple[str, dict[str, str]]:
    """Return the path of this Python, and the environment variables to start it with.

    On Windows the Python of a virtual environment is a launcher, which starts another process and waits for it. That
    one is started directly, so that its process id, its CPU time and its end are those of the program.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    if not IS_WINDOWS or os.path.normcase(base) == os.path.normcase(sys.executable):
        return sys.executable, {}
    return base, {"__PYVENV_LAUNCHER__": sys.executable}


def die_with_parent() -> None:
    """Let Linux kill this process when its parent dies, because a suspended process would not notice.

    When resumed, a worker would continue beside another driver's workers, and could overwrite a newer checkpoint.
    macOS and Windows have nothing like it: there a process ends when it sees the end of its parent's pipe.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def fill_descriptors() -> None:
    """Open the null device for closed standard streams: otherwise the next file would get their descriptors."""
    if not IS_WINDOWS:  # there a closed stream has no descriptor
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)


def hide_from_children(*descriptors: int) -> None:
    """Let processes that this one forks see the null device in place of these descriptors.

    A forked child that outlives this process would else hold its pipes open, and who reads them would wait for it.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _blind(descriptors))


def _blind(descriptors: Sequence[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to disk. Windows does so itself, and cannot open folders."""
    if not IS_WINDOWS:
        flush_file(folder, os.O_RDONLY)


def flush_file(path: Path, mode: int = os.O_RDWR) -> None:
    """Flush a file to disk, also where that needs the right to write (Windows)."""
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stat_entry(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the status of what a folder's entry is or leads to; on Windows the entry itself knows no inode."""
    return os.stat(entry.path) if IS_WINDOWS else entry.stat()


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder in one step; a file replaces what `target` names.

    Raises:
        OSError: it cannot be renamed.
    """
    _retry(lambda: os.replace(source, target))


def remove(path: Path) -> None:
    """Remove a file if it exists.

    Raises:
        OSError: it cannot be removed.
    """
    _retry(lambda: path.unlink(missing_ok=True))


def _retry(action: Callable[[], object]) -> None:
    """Retry on Windows what is refused while another program, such as a virus scanner, has the file open."""
    for seconds in _RETRY_SECONDS if IS_WINDOWS else ():
        try:
            action()
            return
        except PermissionError:
            time.sleep(seconds)
    action()


def read_ahead(mapped: mmap.mmap, start: int, length: int) -> None:
    """Ask the system to load a part of a memory map, and return at once; nothing on Windows, which cannot be asked."""
    if hasattr(mmap, "MADV_WILLNEED") and hasattr(mapped, "madvise"):
        page = start - start % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, start + length - page)


def avoid_reserved(name: str) -> str:
    """Return a file name that Windows allows: `aux` and other devices are reserved, with any suffix."""
    return f"_{name}" if _RESERVED.match(name) else name
