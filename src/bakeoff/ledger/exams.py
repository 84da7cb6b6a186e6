"""Which images the exams of a study were held on."""

from __future__ import annotations

import sqlite3


def read_exam_fingerprints(connection: sqlite3.Connection, study_id: str) -> dict[str, frozenset[str]]:
    """Return by block the fingerprints of the test images its trials were examined on: one, unless they changed.

    Blocks without an exam are absent.
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
