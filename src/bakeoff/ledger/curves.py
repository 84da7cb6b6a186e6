"""Reads all epochs of a study, for its learning curves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from bakeoff.ledger.read import final_only
from bakeoff.ledger.values import check_row, read_numbers


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one trial of a comparison.

    Attributes:
        position: the trial's position in the study; rows are sorted by it, then by epoch, starting at 1.
        train, validation: metric -> value.
    """

    position: int
    block: str
    arm: str
    epoch: int
    train: dict[str, float]
    validation: dict[str, float]


def read_study_epochs(connection: sqlite3.Connection, study_id: str) -> Iterator[EpochRow]:
    """Yield every epoch of the finished trials of a study, except those of a search's candidates."""
    rows = connection.execute(
        "SELECT position, block, arm, epoch, train, validation FROM placements p JOIN trials t ON t.id = p.trial_id "
        "JOIN epochs e ON e.trial_id = p.trial_id WHERE study_id = ? AND t.state = 'done'"
        f"{final_only(connection)} ORDER BY position, epoch",
        (study_id,),
    )
    for row in rows:
        position, block, arm, epoch, train, validation = check_row(row, "ittitt")
        yield EpochRow(position, block, arm, epoch, read_numbers(train), read_numbers(validation))
