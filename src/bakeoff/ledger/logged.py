"""Reads single trials of a study, finished or not, for experiment trackers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.ledger.read import NESTED_ONLY, held_out_column
from bakeoff.ledger.rows import Stage, TrialState
from bakeoff.ledger.store import Placement
from bakeoff.ledger.values import check_row, read_mapping, read_numbers, read_splits


@dataclass(frozen=True, kw_only=True)
class TrialEnding:
    """How a trial ended.

    Attributes:
        content: what determines its result, such as its recipe without defaults and the engine's version.
        num_epochs: epochs trained.
        best_epoch, seconds, num_parameters: None if unknown.
        scores: split -> metric -> value, of the stored weights; empty unless done.
        machine: hardware and versions.
    """

    state: TrialState
    reason: str
    content: Mapping[str, Any]
    num_epochs: int
    best_epoch: int | None
    seconds: float | None
    num_parameters: int | None
    scores: Mapping[str, Mapping[str, float]]
    machine: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlacedTrial:
    """One trial of a study.

    Attributes:
        places: its positions in the study, one or more.
        ending: None while it is unfinished.
    """

    trial_id: str
    places: tuple[Placement, ...]
    ending: TrialEnding | None


@dataclass(frozen=True, kw_only=True)
class RecordedEpoch:
    """One epoch of a trial: metric -> value on each split, and the trial's part of its cohort's training time."""

    epoch: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    seconds: float


def read_placed_trials(
    connection: sqlite3.Connection, study_id: str, trial_ids: Iterable[str] | None = None
) -> Iterator[PlacedTrial]:
    """Yield a study's trials in its order, those of a search's candidates too; `trial_ids`: only these."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(placements)")}
    stage = "stage" if "stage" in columns else "'final'"
    chosen = "" if trial_ids is None else " AND p.trial_id IN (SELECT value FROM json_each(:chosen))"
    rows = connection.execute(
        f"SELECT p.trial_id, block, arm, replicate, fold, {stage}, state, "
        "reason, content, num_epochs, best_epoch, t.seconds, num_parameters, t.metrics, machine, e.metrics, "
        f"{held_out_column(connection)} FROM placements p LEFT JOIN trials t ON t.id = p.trial_id "
        "LEFT JOIN exam_results e ON e.trial_id = p.trial_id "
        f"WHERE study_id = :study AND (t.id IS NULL OR (1{NESTED_ONLY})){chosen} ORDER BY position",
        {"study": study_id, "chosen": json.dumps(list(trial_ids or ()))},
    )
    found: dict[str, tuple[list[Placement], TrialEnding | None]] = {}
    for row in rows:
        trial_id, block, arm, replicate, fold, stage, *ending = check_row(row, "tttiItTTTIINITTTT")
        places, _ = found.setdefault(trial_id, ([], _read_ending(ending)))
        places.append(Placement(trial_id, block, arm, replicate, fold, _check_stage(stage)))
    for trial_id, (places, last) in found.items():
        yield PlacedTrial(trial_id=trial_id, places=tuple(places), ending=last)


def _check_stage(stage: str) -> Stage:
    return "search" if stage == "search" else "final"


def _read_ending(cells: list[Any]) -> TrialEnding | None:
    state, reason, content, num_epochs, best_epoch, seconds, num_parameters, metrics, machine, test, held_out = cells
    if state is None:
        return None
    scores = read_splits(metrics) if state == "done" else {}
    for split, numbers in (("test", test), ("held-out", held_out)):
        if numbers is not None and state == "done":
            scores[split] = read_numbers(numbers)
    return TrialEnding(
        state=state,
        reason=reason or "",
        content=read_mapping(content),
        num_epochs=num_epochs,
        best_epoch=best_epoch,
        seconds=seconds,
        num_parameters=num_parameters,
        scores=scores,
        machine=read_mapping(machine) if machine else {},
    )


def read_epochs(connection: sqlite3.Connection, trial_id: str, after: int = 0) -> Iterator[RecordedEpoch]:
    """Yield a trial's recorded epochs after this one, in order."""
    query = "SELECT epoch, train, validation, seconds FROM epochs WHERE trial_id = ? AND epoch > ? ORDER BY epoch"
    for row in connection.execute(query, (trial_id, after)):
        epoch, train, validation, seconds = check_row(row, "ittn")
        yield RecordedEpoch(
            epoch=epoch, train=read_numbers(train), validation=read_numbers(validation), seconds=seconds
        )
