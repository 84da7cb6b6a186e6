"""Corrects macro averages that an older version took over all classes, including those without images.

A class without images counted as 0, so the mean over the other classes is an exact multiple; the labels stored with
the predictions give the number of such classes. Nothing is trained or evaluated again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from bakeoff.errors import WorkspaceError
from bakeoff.stats.metrics import CLASSES_ABSENT
from bakeoff.workspace import Folders

_AVERAGES = ("macro_precision", "macro_recall", "macro_f1")
_DONE = "INSERT INTO meta VALUES ('macro_averages', 'of the classes that occur')"

Counts = tuple[int, int]
"""The number of classes without images, and the number of all classes."""


def correct_macro_averages(connection: sqlite3.Connection, folders: Folders) -> None:
    """Correct a ledger's macro averages, once."""
    if connection.execute("SELECT 1 FROM meta WHERE key = 'macro_averages'").fetchone():
        return
    for (fingerprint,) in connection.execute("SELECT DISTINCT fingerprint FROM exam_results").fetchall():
        rows = connection.execute(
            "SELECT trial_id, metrics FROM exam_results WHERE fingerprint = ?", (fingerprint,)
        ).fetchall()
        counts = _count_absent([row[0] for row in rows], "test", folders)
        for trial_id, metrics in rows if counts else ():
            corrected = _correct(metrics, (), counts)
            connection.execute("UPDATE exam_results SET metrics = ? WHERE trial_id = ?", (corrected, trial_id))
    for is_own, ids in _group_trials(connection):
        counts = _count_absent(ids, "validation", folders)
        if counts:
            _correct_trials(connection, ids, ("validation",) if is_own else ("train", "validation"), counts)
    connection.execute(_DONE)


def _group_trials(connection: sqlite3.Connection) -> Iterable[tuple[bool, list[str]]]:
    """Yield groups of trials whose splits hold the same classes, and whether the source reserves validation images."""
    groups: dict[str, list[str]] = {}
    for trial_id, content in connection.execute("SELECT id, content FROM trials").fetchall():
        try:
            groups.setdefault(json.dumps(json.loads(content)["data"], sort_keys=True), []).append(trial_id)
        except (ValueError, KeyError, TypeError):
            continue  # the error is reported when the ledger is read
    for data, ids in groups.items():
        yield '"validation": "own' in data, ids


def _correct_trials(
    connection: sqlite3.Connection, ids: Sequence[str], splits: tuple[str, ...], counts: Counts
) -> None:
    for trial_id in ids:
        for (metrics,) in connection.execute("SELECT metrics FROM trials WHERE id = ?", (trial_id,)).fetchall():
            connection.execute(
                "UPDATE trials SET metrics = ? WHERE id = ?", (_correct(metrics, splits, counts), trial_id)
            )
        epochs = connection.execute("SELECT epoch, validation FROM epochs WHERE trial_id = ?", (trial_id,)).fetchall()
        for epoch, metrics in epochs:
            connection.execute(
                "UPDATE epochs SET validation = ? WHERE trial_id = ? AND epoch = ?",
                (_correct(metrics, (), counts), trial_id, epoch),
            )


def _count_absent(ids: Iterable[str], split: str, folders: Folders) -> Counts | None:
    """Return the counts from the first readable predictions; None if there are none, or if every class occurs."""
    for trial_id in ids:
        try:
            found = folders.load_predictions(trial_id, split)
        except WorkspaceError:
            found = None
        if found is not None:
            num_classes, num_present = found["probabilities"].shape[1], len(set(found["labels"].tolist()))
            return (num_classes - num_present, num_classes) if num_present < num_classes else None
    return None


def _correct(text: str, splits: tuple[str, ...], counts: Counts | None) -> str:
    """Return metrics as JSON with those of `splits` corrected, or all of them if they are not grouped by split."""
    num_absent, num_classes = counts or (0, 1)
    try:
        content: dict[str, Any] = json.loads(text)
        for metrics in [content[split] for split in splits if split in content] if splits else [content]:
            if num_absent and CLASSES_ABSENT not in metrics:
                scale = num_classes / (num_classes - num_absent)
                metrics |= {name: min(1.0, metrics[name] * scale) for name in _AVERAGES if name in metrics}
                metrics[CLASSES_ABSENT] = float(num_absent)
        return json.dumps(content)
    except (ValueError, TypeError, AttributeError):
        return text
