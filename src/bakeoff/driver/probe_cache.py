"""Results of numeric probes on this machine, kept in the cache beside the workspaces' own. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bakeoff.data.locate import cache_folder
from bakeoff.errors import StorageError
from bakeoff.workspace import write_whole

_TIMES = ("seconds_per_step", "seconds_alone", "seconds_in_turn")
_MODES = {"float32", "bfloat16"}


def read_probe(probe_id: str) -> dict[str, Any] | None:
    """Return a probe's result; None if it was not measured here, or the file is damaged."""
    try:
        result = json.loads(_locate(probe_id).read_text(encoding="utf-8"))
        positive = all(seconds > 0 for name in _TIMES for seconds in result[name].values())
        whole = result["seconds_per_step"].keys() == _MODES and isinstance(result["agrees"], bool)
        return dict(result) if positive and whole and result["num_members"] >= 1 else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_probe(probe_id: str, result: Mapping[str, Any]) -> None:
    """Keep a probe's result; if that is impossible, it is measured again in another workspace."""
    with suppress(OSError, StorageError):
        write_whole(_locate(probe_id), lambda temporary: temporary.write_text(json.dumps(result), encoding="utf-8"))


def _locate(probe_id: str) -> Path:
    return cache_folder() / "probes" / f"{probe_id}.json"
