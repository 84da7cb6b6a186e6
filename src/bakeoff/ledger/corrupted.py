"""What trials predicted on corrupted test images, and when a study looked at it: files beside the ledger. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.data.corruptions import VERSION, Condition
from bakeoff.errors import LedgerError
from bakeoff.workspace import Folders, check_members, read_whole, refuse_reading, write_whole


def save_corrupted(
    path: Path, predicted_N: npt.NDArray[np.integer], labels_N: npt.NDArray[np.integer], fingerprint: str
) -> None:
    """Write which classes one trial predicted on the test images corrupted in one way, and how many were right.

    Args:
        path: see `Folders.corrupted`.
        predicted_N: classes, in the order of the test images.
        labels_N: the true ones.
        fingerprint: of the test images, uncorrupted.
    """
    kind = np.uint8 if max(predicted_N.max(initial=0), labels_N.max(initial=0)) < 256 else np.uint32
    arrays: dict[str, Any] = {
        "predicted": predicted_N.astype(kind),
        "labels": labels_N.astype(kind),
        "accuracy": np.float64(np.mean(predicted_N == labels_N)),
        "fingerprint": np.str_(fingerprint),
        "version": np.int64(VERSION),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)

    write_whole(path, write)


def load_corrupted(path: Path, fingerprint: str) -> npt.NDArray[np.bool_] | None:
    """Return which images one trial classified rightly, [N].

    None if the file is missing or damaged, or is about other test images or another version of the corruption: it is
    then computed again.

    Raises:
        StorageError: it exists but cannot be read.
    """
    try:
        check_members(path)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("predicted", "labels", "accuracy", "fingerprint", "version")}
        if str(found["fingerprint"]) != fingerprint or int(found["version"]) != VERSION:
            return None
        if found["predicted"].shape != found["labels"].shape or found["labels"].ndim != 1:
            return None
        hits_N = np.asarray(found["predicted"] == found["labels"])
        return hits_N if len(hits_N) and float(found["accuracy"]) == np.mean(hits_N) else None
    except PermissionError as error:
        raise refuse_reading(path, error) from error
    except Exception:  # NumPy and zipfile raise many exceptions for damaged files
        return None


@dataclass(frozen=True, kw_only=True)
class StressLook:
    """One look of a study at its trials' scores on corrupted test images of one block.

    Attributes:
        looked_at: ISO time.
        conditions: what was looked at.
        trials: ids.
        fingerprint: of the test images.
    """

    looked_at: str
    block: str
    conditions: tuple[Condition, ...]
    trials: tuple[str, ...]
    fingerprint: str


def record_stress(
    folders: Folders,
    study_id: str,
    *,
    block: str,
    conditions: Sequence[Condition],
    trials: Sequence[str],
    fingerprint: str,
) -> None:
    """Record a look, before it is taken; one that shows nothing beyond an earlier one is not recorded again.

    Raises:
        WorkspaceError: the record cannot be read or written.
    """
    known = read_stress(folders, study_id)
    seen = {
        (condition, trial)
        for look in known
        if (look.block, look.fingerprint) == (block, fingerprint)
        for condition in look.conditions
        for trial in look.trials
    }
    if all((condition, trial) in seen for condition in conditions for trial in trials):
        return
    look = StressLook(
        looked_at=datetime.now(UTC).isoformat(timespec="seconds"),
        block=block,
        conditions=tuple(conditions),
        trials=tuple(trials),
        fingerprint=fingerprint,
    )
    text = json.dumps([asdict(each) for each in (*known, look)])
    write_whole(folders.stress(study_id), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_stress(folders: Folders, study_id: str) -> tuple[StressLook, ...]:
    """Return a study's looks at scores on corrupted test images, oldest first.

    Raises:
        WorkspaceError: the record is damaged or cannot be read.
    """
    path = folders.stress(study_id)
    try:
        return tuple(_parse(each) for each in json.loads(read_whole(path)))
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerError(
            f"{path}: this record of looks is damaged. Restore it from a copy, or delete it: the next "
            "`bakeoff stress` starts a new one."
        ) from error


def _parse(entry: Mapping[str, Any]) -> StressLook:
    return StressLook(
        looked_at=str(entry["looked_at"]),
        block=str(entry["block"]),
        conditions=tuple(Condition(str(name), int(severity)) for name, severity in entry["conditions"]),
        trials=tuple(map(str, entry["trials"])),
        fingerprint=str(entry["fingerprint"]),
    )
