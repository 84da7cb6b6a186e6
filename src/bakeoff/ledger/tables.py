"""Reads a study's trials and epochs row by row, for export."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.ledger.features import NO_SHARE, read_feature_shares
from bakeoff.ledger.read import NESTED_ONLY, final_only, held_out_column
from bakeoff.ledger.values import read_mapping


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One ended trial, as recorded in the ledger.

    Attributes:
        fold: 0-based; None if the study has no folds.
        state: done, diverged or failed.
        stop: why training ended, such as "epochs"; empty if unknown.
        seconds: training time, its part of its cohort's and of a frozen body's features; None if unknown.
        num_parameters: trained weights and biases; None if unknown.
        metrics: split -> metric -> value; empty unless done.
        finished_at: ISO time.
    """

    trial_id: str
    block: str
    arm: str
    replicate: int
    fold: int | None
    seed: int | None
    state: str
    reason: str
    stop: str
    epochs: int
    best_epoch: int | None
    seconds: float | None
    num_parameters: int | None
    metrics: Mapping[str, Mapping[str, float]]
    finished_at: str


@dataclass(frozen=True, kw_only=True)
class TrialEpoch:
    """One epoch of one trial, finished or not.

    Attributes:
        train, validation: metric -> value.
        seconds: training time of this epoch, the trial's part of its cohort's.
    """

    trial_id: str
    block: str
    arm: str
    replicate: int
    fold: int | None
    epoch: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    seconds: float
    images_per_second: float


def read_trials(connection: sqlite3.Connection, study_id: str) -> Iterator[TrialRow]:
    """Yield a study's ended trials, in its order, without those of a search's candidates."""
    shares = read_feature_shares(connection, study_id)
    rows = connection.execute(
        "SELECT p.trial_id, block, arm, replicate, fold, content, state, reason, stop, num_epochs, best_epoch, "
        f"seconds, num_parameters, finished_at, t.metrics, e.metrics, {held_out_column(connection)} "
        "FROM placements p JOIN trials t ON t.id = p.trial_id LEFT JOIN exam_results e ON e.trial_id = p.trial_id "
        f"WHERE study_id = ?{final_only(connection)}{NESTED_ONLY} ORDER BY position",
        (study_id,),
    )
    for trial_id, block, arm, replicate, fold, content, state, reason, stop, *numbers in rows:
        epochs, best_epoch, seconds, num_parameters, finished_at, metrics, test, held_out = numbers
        yield TrialRow(
            trial_id=trial_id,
            block=block,
            arm=arm,
            replicate=replicate,
            fold=fold,
            seed=json.loads(content).get("seed"),
            state=state,
            reason=reason,
            stop=stop or "",
            epochs=epochs,
            best_epoch=best_epoch,
            seconds=None if seconds is None else seconds + shares.get(trial_id, NO_SHARE).seconds,
            num_parameters=num_parameters,
            metrics=_join_splits(metrics, test, held_out) if state == "done" else {},
            finished_at=finished_at,
        )


def read_trial_epochs(connection: sqlite3.Connection, study_id: str) -> Iterator[TrialEpoch]:
    """Yield every recorded epoch of a study's trials, in its order, without those of a search's candidates."""
    rows = connection.execute(
        "SELECT p.trial_id, block, arm, replicate, fold, epoch, train, validation, seconds, images_per_second "
        "FROM placements p JOIN epochs e ON e.trial_id = p.trial_id "
        f"WHERE study_id = ?{final_only(connection)} ORDER BY position, epoch",
        (study_id,),
    )
    for trial_id, block, arm, replicate, fold, epoch, train, validation, seconds, rate in rows:
        yield TrialEpoch(
            trial_id=trial_id,
            block=block,
            arm=arm,
            replicate=replicate,
            fold=fold,
            epoch=epoch,
            train=json.loads(train),
            validation=json.loads(validation),
            seconds=seconds,
            images_per_second=rate,
        )


def read_recipes(connection: sqlite3.Connection, study_id: str) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """Yield (block, arm) and the recipe that its trials were trained with, without defaults."""
    rows = connection.execute(
        "SELECT block, arm, MIN(content) FROM placements p JOIN trials t ON t.id = p.trial_id "
        f"WHERE study_id = ?{final_only(connection)} GROUP BY block, arm",
        (study_id,),
    )
    for block, arm, content in rows:
        yield (block, arm), read_mapping(content).get("recipe") or {}


def read_packages(connection: sqlite3.Connection, study_id: str) -> dict[str, str]:
    """Return the versions of other installed packages that a study's trials were trained with, by distribution."""
    rows = connection.execute(
        "SELECT content FROM placements p JOIN trials t ON t.id = p.trial_id WHERE study_id = ?", (study_id,)
    )
    versions: dict[str, set[str]] = {}
    for (content,) in rows:
        packages = read_mapping(content).get("packages")
        for name, version in packages.items() if isinstance(packages, dict) else ():
            versions.setdefault(name, set()).add(str(version))
    return {name: " and ".join(sorted(found)) for name, found in sorted(versions.items())}


def _join_splits(metrics: str, test: str | None, held_out: str | None) -> dict[str, Any]:
    found = {"test": test, "held-out": held_out}
    splits: dict[str, Any] = json.loads(metrics)
    return splits | {split: json.loads(text) for split, text in found.items() if text is not None}
