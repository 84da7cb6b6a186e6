"""The processor cores and the memory that this process may use: affinity, and the control groups of a container.

Versions 1 and 2: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/. A group is also bound by its
parents' limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from bakeoff.system import count_available_cores

_SYSTEM = Path("/")
_UNREADABLE = (OSError, ValueError)  # unknown formats of these files count as no limit
_NO_LIMIT_BYTES = 2**60  # version 1 writes the largest possible number of pages


def count_cores() -> int:
    """Return the number of cores this process may use, by its affinity and its container's CPU quota.

    A fraction of a core counts as one: a throttled worker is better than none.
    """
    num_cores = count_available_cores()
    quota = read_cpu_quota()
    return num_cores if quota is None else max(1, min(num_cores, math.ceil(quota)))


def read_cpu_quota(system: Path = _SYSTEM) -> float | None:
    """Return this process's CPU quota in cores, such as 1.5; None without a quota.

    Args:
        system: the folder that contains `proc` and `sys`.
    """
    quotas: list[float | None] = []
    with suppress(*_UNREADABLE):
        for group in _find_groups(system, "", "cpu.max"):
            quotas.append(_divide((group / "cpu.max").read_text("utf-8").split()))
        for group in _find_groups(system, "cpu", "cpu.cfs_quota_us"):
            parts = [(group / f"cpu.cfs_{part}_us").read_text("utf-8").strip() for part in ("quota", "period")]
            quotas.append(_divide(parts))
    return min((quota for quota in quotas if quota is not None), default=None)


def read_memory_limit(system: Path = _SYSTEM) -> int | None:
    """Return the memory limit of the process's groups in bytes; None without a limit."""
    return min((limit for limit, _ in _read_memory(system)), default=None)


def read_memory_left(system: Path = _SYSTEM) -> int | None:
    """Return the bytes that the process's groups may still use, counting file caches as free; None without a limit."""
    return min((max(0, limit - used) for limit, used in _read_memory(system)), default=None)


def _read_memory(system: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of every group that has a limit."""
    with suppress(*_UNREADABLE):
        for group in _find_groups(system, "", "memory.max"):
            yield from _read_group(group, "memory.max", "memory.current", "inactive_file")
        for group in _find_groups(system, "memory", "memory.limit_in_bytes"):
            yield from _read_group(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _read_group(group: Path, limit: str, usage: str, cache: str) -> Iterator[tuple[int, int]]:
    text = (group / limit).read_text("utf-8").strip()
    if text.isdecimal() and int(text) < _NO_LIMIT_BYTES:
        cached = re.search(rf"^{cache} (\d+)$", _read_if_there(group / "memory.stat"), re.MULTILINE)
        yield int(text), int((group / usage).read_text("utf-8")) - (int(cached[1]) if cached else 0)


def _divide(quota_and_period: list[str]) -> float | None:
    quota, period = quota_and_period
    return int(quota) / int(period) if quota.isdecimal() and int(period) > 0 else None  # "max" and -1: no quota


def _find_groups(system: Path, controller: str, file: str) -> Iterator[Path]:
    """Yield the folders of the process's group and its parents that are mounted and contain a file.

    Args:
        system: the folder that contains `proc` and `sys`.
        controller: the controller of version 1; empty for version 2, which has a single tree.
        file: the file's name.
    """
    own = _find_own(system, controller)
    mount = _find_mount(system, controller)
    if own is None or mount is None:
        return
    root, point = mount
    # In a container the group may have its outside name, and the mount may begin with it.
    inside = own.relative_to(root) if own.is_relative_to(root) and ".." not in own.parts else PurePosixPath()
    for part in (inside, *inside.parents) if inside.parts else (inside,):
        group = system / point.relative_to("/") / part
        if (group / file).is_file():
            yield group


def _find_own(system: Path, controller: str) -> PurePosixPath | None:
    for line in _read_if_there(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return PurePosixPath(path)
    return None


def _find_mount(system: Path, controller: str) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Return the mounted group and its mount point."""
    is_wanted: Callable[[str, str], bool] = (
        (lambda kind, options: kind == "cgroup" and controller in options.split(","))
        if controller
        else (lambda kind, options: kind == "cgroup2")
    )
    for line in _read_if_there(system / "proc/self/mountinfo").splitlines():
        place, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if is_wanted(kind, options):
            root, point = place.split(" ")[3:5]
            return PurePosixPath(root), PurePosixPath(point.replace("\\040", " "))
    return None


def _read_if_there(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
