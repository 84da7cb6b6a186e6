"""Describes the machine, which is recorded with every trial. Does not load torch."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
from collections.abc import Mapping

import psutil

from bakeoff import __version__
from bakeoff.cgroups import count_cores, read_memory_limit
from bakeoff.system import name_processor


@functools.cache
def describe_hardware() -> dict[str, str]:
    """Return the CPU, the usable cores, the memory and the operating system, as text."""
    return {
        "processor": name_processor(),
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


def _memory() -> str:
    num_bytes = int(psutil.virtual_memory().total)
    return f"{min(num_bytes, read_memory_limit() or num_bytes) / 2**30:.0f} GiB"
