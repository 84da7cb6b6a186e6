"""Checks a workspace and explains what it finds: the ledger, the trials' files, and obstacles to a run."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from bakeoff.driver.upkeep import find_leftovers
from bakeoff.engine.checkpoint_file import DamagedCheckpoint, read_file
from bakeoff.errors import StorageError, WorkspaceError
from bakeoff.ledger.read import held_out_column, open_reading
from bakeoff.workspace import HASH, Folders, list_files, load_predictions

_LITTLE_BYTES = 2**30
_MOST_NAMED = 5

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        level: ok; note (worth knowing, but not wrong); problem.
        text: what was found and, for a problem, the remedy.
    """

    level: Level
    text: str


def examine(workspace: Path) -> Iterator[Finding]:
    """Check a workspace, without training, repairing or deleting anything.

    Raises:
        WorkspaceError: there is no ledger, or it cannot be opened at all; the message has the remedy.
    """
    folders = Folders(workspace)
    with open_reading(folders) as connection:
        yield from _examine_disk(folders)
        yield from _examine_ledger(connection)
        yield from _examine_results(folders, connection)
        yield from _examine_checkpoints(folders)
        yield from _list_troubles(connection)
        yield from _list_leftovers(folders, connection)


def _examine_disk(folders: Folders) -> Iterator[Finding]:
    if not os.access(folders.root, os.W_OK):
        yield Finding("problem", f"{folders.root} cannot be written: no study can run here. Change its permissions.")
    free = shutil.disk_usage(folders.root).free
    level: Level = "ok" if free >= _LITTLE_BYTES else "problem"
    remedy = "" if level == "ok" else " Make room: bakeoff gc shows what nothing refers to."
    yield Finding(level, f"{free / 2**30:.1f} GiB free on the workspace's disk.{remedy}")
    lock = FileLock(folders.driver_lock, timeout=0)
    try:
        with lock:
            yield Finding("ok", "no run is in progress here.")
    except Timeout:
        yield Finding("note", "a run is in progress here: the following may change during the check.")
    except OSError:
        return  # reported above


def _examine_ledger(connection: sqlite3.Connection) -> Iterator[Finding]:
    faults = [row[0] for row in connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
    faults += [f"a row of {row[0]} refers to nothing" for row in connection.execute("PRAGMA foreign_key_check")]
    for fault in faults:
        yield Finding("problem", f"the ledger is damaged: {fault}. Restore it from a copy, or start a new workspace.")
    (studies,) = connection.execute("SELECT COUNT(*) FROM studies").fetchone()
    (trials,) = connection.execute("SELECT COUNT(*) FROM trials WHERE state = 'done'").fetchone()
    if not faults:
        yield Finding(
            "ok", f"the ledger is intact: {_count(studies, 'study', 'studies')}, {_count(trials, 'trial')} done."
        )
    (gaps,) = connection.execute(
        "SELECT COUNT(*) FROM (SELECT trial_id FROM epochs GROUP BY trial_id HAVING MAX(epoch) != COUNT(*))"
    ).fetchone()
    if gaps:
        yield Finding("problem", f"{_count(gaps, 'trial')} with missing epochs: their curves are incomplete.")
    (again,) = connection.execute("SELECT COUNT(*) FROM epochs WHERE times_trained > 1").fetchone()
    if again:
        yield Finding("note", f"{_count(again, 'epoch')} trained more than once; results are those of one training.")


def _examine_results(folders: Folders, connection: sqlite3.Connection) -> Iterator[Finding]:
    """Check the weights and predictions of every finished trial."""
    trials = [row[0] for row in connection.execute("SELECT id FROM trials WHERE state = 'done' ORDER BY id")]
    tested = {
        trial_id: ("validation", "test", *(["held-out"] if held_out else []))
        for trial_id, held_out in connection.execute(
            f"SELECT trial_id, {held_out_column(connection)} FROM exam_results e"
        )
    }
    wrong: list[str] = []
    for trial_id in trials:
        splits = tested.get(trial_id, ("validation",))
        wrong += [text for text in (_check_weights(folders.weights(trial_id)),) if text]
        wrong += [text for split in splits if (text := _check_predictions(folders.predictions(trial_id, split)))]
    for text in wrong[:_MOST_NAMED]:
        yield Finding("problem", f"{text} Reports and transfer cannot use it; the ledger's numbers are unaffected.")
    if len(wrong) > _MOST_NAMED:
        yield Finding("problem", f"and {_count(len(wrong) - _MOST_NAMED, 'more such file')}.")
    if trials and not wrong:
        yield Finding("ok", f"weights and predictions of {_count(len(trials), 'finished trial')} can be read.")


def _check_weights(path: Path) -> str:
    try:
        with safe_open(path, "np") as file:
            file.keys()
    except (OSError, SafetensorError) as error:
        return f"{path}: the weights cannot be read ({str(error).splitlines()[0]})."
    return ""


def _check_predictions(path: Path) -> str:
    try:
        found = load_predictions(path)
        if not np.isfinite(found["probabilities"]).all():
            return f"{path}: the predictions hold numbers that are not finite."
    except WorkspaceError as error:
        return str(error)
    return ""


def _examine_checkpoints(folders: Folders) -> Iterator[Finding]:
    paths = list_files(folders.checkpoints, rf"{HASH}\.safetensors")
    for path in paths:
        try:
            read_file(path)
        except DamagedCheckpoint as error:
            yield Finding("problem", f"{error} The next run sets it aside and trains its epochs again.")
        except StorageError as error:
            yield Finding("problem", f"{error} No run can resume from it until its permissions or the disk are fixed.")
    if paths:
        yield Finding("note", f"{_count(len(paths), 'cohort')} unfinished: the study's command resumes them.")


def _list_troubles(connection: sqlite3.Connection) -> Iterator[Finding]:
    failed = connection.execute("SELECT reason, COUNT(*) FROM trials WHERE state = 'failed' GROUP BY reason").fetchall()
    for reason, number in failed[:_MOST_NAMED]:
        yield Finding("problem", f"{_count(number, 'failed trial')}: {reason} The next run tries again.")
    incidents = connection.execute("SELECT kind, COUNT(*) FROM incidents GROUP BY kind ORDER BY kind").fetchall()
    words = {
        "lost": "workers lost",
        "error": "cohorts that raised",
        "split": "cohorts split up",
        "notice": "problems fixed during runs",
    }
    if incidents:
        told = ", ".join(f"{words.get(kind, kind)}: {number}" for kind, number in incidents)
        yield Finding("note", f"recorded so far: {told}. None of these changed a result.")


def _list_leftovers(folders: Folders, connection: sqlite3.Connection) -> Iterator[Finding]:
    found = list(find_leftovers(folders, connection))
    if found:
        what = f"{_count(len(found), 'place')} of {sum(each.num_bytes for each in found) / 2**20:.1f} MiB"
        yield Finding("note", f"{what} that nothing refers to: bakeoff gc deletes them.")


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
