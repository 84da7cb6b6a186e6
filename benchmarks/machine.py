"""Describes the machine of a measurement: CPU, cores, memory, system, load."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contenders.common import count_cores


def describe_machine() -> dict[str, Any]:
    """Return facts about this machine, without its name."""
    return {
        "processor": find_processor(),
        "family_and_model": name_generation(),
        "cores": count_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "bfloat16": sorted(set(read_flags()) & {"avx512_bf16", "amx_bf16", "bf16"}),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def find_processor() -> str:
    """Return the CPU's model."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return read_cpuinfo("model name") or platform.processor() or platform.machine()


def name_generation() -> str:
    """Return the CPU's family and model numbers; "" if the system does not provide them.

    Rented machines often hide which generation they are in the model's name: "AMD EPYC" is family 25, model 17 (9004)
    as well as family 26 (9005).
    """
    numbers = [read_cpuinfo("cpu family"), read_cpuinfo("model")]
    return "-".join(numbers) if all(numbers) else ""


def read_flags() -> list[str]:
    """Return the CPU's feature flags, if the system provides them."""
    return (read_cpuinfo("flags") or read_cpuinfo("Features")).split()


def read_cpuinfo(field: str) -> str:
    """Return one field of /proc/cpuinfo; "" if there is none."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    found = re.search(rf"^{re.escape(field)}\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def name_machine() -> str:
    """Return a part for file names: CPU, its family and model if known, number of cores."""
    words = re.sub(r"[^a-z0-9]+", "-", find_processor().lower().replace("(r)", "").replace("(tm)", "")).strip("-")
    return "-".join(filter(None, (words or "unknown", name_generation(), f"{count_cores()}-cores")))
