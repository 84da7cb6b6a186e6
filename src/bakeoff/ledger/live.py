"""Reads a ledger while a driver writes it: progress of every arm, epochs so far. Short reads, no lock is held."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bakeoff.ledger.check import read_version
from bakeoff.ledger.curves import EpochRow
from bakeoff.ledger.read import NESTED_ONLY, final_only, list_studies


@dataclass(frozen=True, kw_only=True)
class ArmProgress:
    """Progress of one arm in one block.

    Attributes:
        num_started: unfinished trials that have finished an epoch; `first_epoch`, `last_epoch`: the fewest and the most
            epochs they have finished, 0 if there are none.
        score: mean of the deciding metric on the validation split over finished trials; None before the first.
    """

    block: str
    arm: str
    num_planned: int
    num_done: int
    num_failed: int
    num_started: int
    first_epoch: int
    last_epoch: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """Progress of one study.

    Attributes:
        metric: the deciding metric.
        blocks: in the study's order; `arms`: those compared, block by block, none before a search has reached finals.
        num_epochs: epochs finished so far by all trials, including a search's candidates.
        num_candidates: proposed by a search; `num_judged`: those with a score; 0 for studies without a search.
        asking: whether a search may ask for more trials.
        num_tested: trials evaluated on the test split.
        last_ended_at: when its latest trial ended, ISO time; None before the first.
    """

    study_id: str
    name: str
    question: str
    metric: str
    created_at: str
    blocks: tuple[str, ...]
    arms: tuple[ArmProgress, ...]
    num_epochs: int
    num_candidates: int
    num_judged: int
    asking: bool
    num_tested: int
    last_ended_at: str | None

    @property
    def num_planned(self) -> int:
        """Number of compared trials."""
        return sum(arm.num_planned for arm in self.arms)

    @property
    def num_done(self) -> int:
        """Number of trials that finished training."""
        return sum(arm.num_done for arm in self.arms)

    @property
    def num_failed(self) -> int:
        """Number of trials that failed or diverged."""
        return sum(arm.num_failed for arm in self.arms)

    @property
    def num_started(self) -> int:
        """Number of unfinished trials that have finished an epoch."""
        return sum(arm.num_started for arm in self.arms)

    @property
    def is_ended(self) -> bool:
        """Whether nothing is left to train."""
        return not self.asking and self.num_done + self.num_failed >= self.num_planned


@contextmanager
def read_snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read a consistent snapshot inside the block while the writer continues. Keep it short."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def read_progress(connection: sqlite3.Connection, study_id: str) -> StudyProgress | None:
    """Return a study's progress; None if the ledger does not contain it."""
    found = connection.execute("SELECT name, document, created_at FROM studies WHERE id = ?", (study_id,)).fetchone()
    if found is None:
        return None
    name, text, created_at = found
    document: dict[str, Any] = json.loads(text)
    metric = str(document.get("decide", {}).get("metric", "accuracy"))
    num_candidates, num_judged, asking = _read_search(connection, study_id)
    blocks = connection.execute(
        "SELECT block FROM placements WHERE study_id = ? GROUP BY block ORDER BY MIN(position)", (study_id,)
    )
    epochs, tested, ended_at = connection.execute(
        "SELECT (SELECT COUNT(*) FROM epochs WHERE trial_id IN mine), "
        "(SELECT COUNT(*) FROM exam_results WHERE trial_id IN mine), "
        "(SELECT MAX(finished_at) FROM trials WHERE id IN mine)".replace(
            "mine", "(SELECT trial_id FROM placements WHERE study_id = :study)"
        ),
        {"study": study_id},
    ).fetchone()
    return StudyProgress(
        study_id=study_id,
        name=name,
        question=str(document.get("question", "")),
        metric=metric,
        created_at=created_at,
        blocks=tuple(row[0] for row in blocks),
        arms=tuple(_read_arms(connection, study_id, metric)),
        num_epochs=epochs,
        num_candidates=num_candidates,
        num_judged=num_judged,
        asking=asking,
        num_tested=tested,
        last_ended_at=ended_at,
    )


def read_all_progress(connection: sqlite3.Connection) -> tuple[StudyProgress, ...]:
    """Return the progress of every study in the ledger, newest first."""
    found = (read_progress(connection, study.study_id) for study in list_studies(connection))
    return tuple(progress for progress in found if progress is not None)


def _read_arms(connection: sqlite3.Connection, study_id: str, metric: str) -> Iterator[ArmProgress]:
    is_final = final_only(connection)
    started = {
        (block, arm): numbers
        for block, arm, *numbers in connection.execute(
            "SELECT block, arm, COUNT(*), MIN(last), MAX(last) FROM (SELECT p.block, p.arm, MAX(epoch) AS last "
            "FROM placements p JOIN epochs e ON e.trial_id = p.trial_id WHERE study_id = ? "
            f"AND p.trial_id NOT IN (SELECT id FROM trials){is_final} GROUP BY p.position) GROUP BY block, arm",
            (study_id,),
        )
    }
    rows = connection.execute(
        "SELECT block, arm, COUNT(*), SUM(COALESCE(state = 'done', 0)), "
        "SUM(COALESCE(state IN ('failed', 'diverged'), 0)), "
        "AVG(CASE WHEN state = 'done' THEN json_extract(metrics, '$.validation.\"' || ? || '\"') END) "
        f"FROM placements LEFT JOIN trials ON id = trial_id{NESTED_ONLY} WHERE study_id = ?{is_final} "
        "GROUP BY block, arm ORDER BY MIN(position)",
        (metric, study_id),
    )
    for block, arm, num_planned, num_done, num_failed, score in rows:
        num_started, first, last = started.get((block, arm), (0, 0, 0))
        yield ArmProgress(
            block=block,
            arm=arm,
            num_planned=num_planned,
            num_done=num_done,
            num_failed=num_failed,
            num_started=num_started,
            first_epoch=first,
            last_epoch=last,
            score=score,
        )


def _read_search(connection: sqlite3.Connection, study_id: str) -> tuple[int, int, bool]:
    """Return how many candidates a search has proposed and judged, and whether it continues."""
    if (read_version(connection) or 0) < 3:  # older ledgers have no searches
        return 0, 0, False
    proposed, judged = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(scores != '{}'), 0) FROM candidates WHERE study_id = ?", (study_id,)
    ).fetchone()
    (asking,) = connection.execute("SELECT asking FROM studies WHERE id = ?", (study_id,)).fetchone()
    return proposed, judged, bool(asking)


def list_arms_in_training(
    connection: sqlite3.Connection, study_id: str, block: str, most: int
) -> tuple[tuple[str, ...], bool]:
    """Return the arms of a block whose curves show current training, and whether they are a search's candidates.

    Until a search reaches its finals these are its latest candidates; afterwards the tuple is empty.
    """
    if not final_only(connection):
        return (), False
    query = (
        "SELECT arm FROM placements WHERE study_id = ? AND block = ? AND stage = ? AND trial_id IN "
        "(SELECT trial_id FROM epochs) GROUP BY arm ORDER BY MAX(position) DESC LIMIT ?"
    )
    if connection.execute(query, (study_id, block, "final", 1)).fetchone() is not None:
        return (), False
    latest = tuple(row[0] for row in connection.execute(query, (study_id, block, "search", most)))
    return latest, bool(latest)


def read_block_epochs(
    connection: sqlite3.Connection, study_id: str, block: str, metric: str, *, candidates: bool = False
) -> Iterator[EpochRow]:
    """Yield every epoch so far of a block's trials, finished or not, with one metric only.

    With `candidates`, those of a search's trials instead of the compared trials.
    """
    stage = final_only(connection)
    rows = connection.execute(
        "SELECT position, arm, epoch, json_extract(train, '$.\"' || :metric || '\"'), "
        "json_extract(validation, '$.\"' || :metric || '\"') "
        "FROM placements p JOIN epochs e ON e.trial_id = p.trial_id "
        f"WHERE study_id = :study AND block = :block{stage.replace('final', 'search') if candidates else stage} "
        "ORDER BY position, epoch",
        {"study": study_id, "block": block, "metric": metric},
    )
    for position, arm, epoch, train, validation in rows:
        yield EpochRow(
            position,
            block,
            arm,
            epoch,
            {} if train is None else {metric: train},
            {} if validation is None else {metric: validation},
        )
