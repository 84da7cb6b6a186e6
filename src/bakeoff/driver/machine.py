"""Describes the machine, which is recorded with every trial. Does not load torch."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from bakeoff import __version__
from bakeoff.cgroups import count_cores, read_memory_limit


@functools.cache
def describe_hardware() -> dict[str, str]:
    """Return the CPU, the usable cores, the memory and the operating system, as text."""
    return {
        "processor": _processor(),
        "cores": f"{count_cores()} core{'' if count_cores() == 1 else 's'}",
        "memory": f"{_memory()} memory",
        "system": f"{platform.system()} {platform.machine()}",
    }


@functools.cache
def describe_versions() -> dict[str, str]:
    """Return the versions of bakeoff, Python and the numerical libraries."""
    packages = {name: _version(name) for name in ("torch", "numpy", "scipy")}
    return {"bakeoff": __version__, "python": platform.python_version(), **packages}


def format_machine(facts: Mapping[str, str]) -> str:
    """Return the description of the machine for the ledger."""
    return json.dumps(facts, sort_keys=True)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "unknown"
    num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    num_bytes = min(num_bytes, read_memory_limit() or num_bytes)
    return f"{num_bytes / 2**30:.0f} GiB"
