"""Results of numeric probes on this machine, kept in the cache beside the workspaces' own. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

from bakeoff.data.locate import cache_folder
from bakeoff.driver.cached_json import read_cached, write_cached

_TIMES = ("seconds_per_step", "seconds_alone", "seconds_in_turn")
_MODES = {"float32", "bfloat16"}


def read_probe(probe_id: str) -> dict[str, Any] | None:
    """Return a probe's result; None if it was not measured here, or the file is damaged."""
    return read_cached(_locate(probe_id), _check)


def write_probe(probe_id: str, result: Mapping[str, Any]) -> None:
    """Keep a probe's result; if that is impossible, it is measured again in another workspace."""
    write_cached(_locate(probe_id), result)


def _check(result: dict[str, Any]) -> dict[str, Any]:
    positive = all(0 < seconds < inf for name in _TIMES for seconds in result[name].values())
    known = result["relative_difference"] is None or isfinite(result["relative_difference"])
    whole = result["seconds_per_step"].keys() == _MODES and isinstance(result["agrees"], bool)
    if not (positive and known and whole and result["num_members"] >= 1):
        raise ValueError("not a probe's result")
    return dict(result)


def _locate(probe_id: str) -> Path:
    return cache_folder() / "probes" / f"{probe_id}.json"
