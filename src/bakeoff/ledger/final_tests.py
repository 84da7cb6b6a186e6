"""Reads when the test split was opened for a study, and on which images its trials were evaluated."""

from __future__ import annotations

import sqlite3

from bakeoff.ledger.values import check_row


def read_final_test_fingerprints(connection: sqlite3.Connection, study_id: str) -> dict[str, frozenset[str]]:
    """Return by block the fingerprints of the test images its trials were evaluated on: one, unless they changed.

    Blocks without a final test are absent.
    """
    rows = connection.execute(
        "SELECT DISTINCT block, fingerprint FROM exam_results JOIN placements USING (trial_id) "
        "WHERE placements.study_id = ?",
        (study_id,),
    )
    found: dict[str, frozenset[str]] = {}
    for block, fingerprint in rows:
        found[block] = found.get(block, frozenset()) | {fingerprint}
    return found


def read_openings(connection: sqlite3.Connection, study_id: str) -> tuple[str, ...]:
    """Return when the test split was opened for a study or for one that shares its trials, ISO times, oldest first.

    An opening that only resumes an earlier one of the same study after a kill is not counted: everything it evaluated
    had been trained before the earlier one, so no choice could depend on what that one showed.
    """
    rows = connection.execute(
        "SELECT opened_at FROM exams e WHERE (study_id = :study OR id IN (SELECT exam_id FROM exam_results JOIN "
        "placements USING (trial_id) WHERE placements.study_id = :study)) AND NOT EXISTS (SELECT 1 FROM exams earlier "
        "WHERE earlier.study_id = e.study_id AND earlier.id < e.id AND NOT EXISTS (SELECT 1 FROM exam_results r "
        "JOIN trials t ON t.id = r.trial_id WHERE r.exam_id = e.id AND t.finished_at > earlier.opened_at)) ORDER BY id",
        {"study": study_id},
    )
    return tuple(check_row(row, "t")[0] for row in rows)
