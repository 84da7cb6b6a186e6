"""Scores trials by metrics that no study named when they were trained, from their stored predictions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from bakeoff.errors import LostFileError
from bakeoff.ledger.values import read_numbers, read_splits
from bakeoff.stats.metrics import score_by
from bakeoff.workspace import Folders


def rescore(connection: sqlite3.Connection, folders: Folders, trial_ids: Iterable[str], metrics: Iterable[str]) -> None:
    """Add missing metrics to the scores of trials that are done, on every split; on training images if stored.

    Raises:
        WorkspaceError: a trial's predictions are gone.
        MetricError: a user's metric fails.
    """
    names = tuple(metrics)
    if not names:
        return
    wanted = json.dumps(list(trial_ids))
    among = "IN (SELECT value FROM json_each(?))"
    query = f"SELECT id, metrics FROM trials WHERE state = 'done' AND id {among}"
    for trial_id, text in connection.execute(query, (wanted,)).fetchall():
        splits = {split: dict(scores) for split, scores in read_splits(text).items()}
        added = [_add(scores, folders, trial_id, split, names) for split, scores in splits.items()]
        if any(added):
            connection.execute("UPDATE trials SET metrics = ? WHERE id = ?", (_dump(splits), trial_id))
    query = f"SELECT trial_id, metrics, held_out FROM exam_results WHERE trial_id {among}"
    for trial_id, test, held_out in connection.execute(query, (wanted,)).fetchall():
        for column, split, text in (("metrics", "test", test), ("held_out", "held-out", held_out)):
            scores = {} if text is None else dict(read_numbers(text))
            if scores and _add(scores, folders, trial_id, split, names):
                connection.execute(
                    f"UPDATE exam_results SET {column} = ? WHERE trial_id = ?", (_dump(scores), trial_id)
                )


def _add(scores: dict[str, float], folders: Folders, trial_id: str, split: str, names: Iterable[str]) -> bool:
    """Add the scores that a trial lacks on a split; return whether any was added."""
    missing = [name for name in names if name not in scores]
    found = folders.load_predictions(trial_id, split) if missing else None
    if missing and found is None and split != "train":
        raise LostFileError(
            f"{folders.predictions(trial_id, split)}: these predictions are missing or damaged, so that a trial cannot "
            f"be scored by {missing[0]}. Restore them, or train again in another --workspace DIR."
        )
    if found is None:
        return False
    scores |= {name: score_by(name, found["probabilities"], found["labels"]) for name in missing}
    return True


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
