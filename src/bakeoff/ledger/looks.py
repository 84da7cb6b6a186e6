"""Reads the record of looks: which study saw which test results, when, and with which arms."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from bakeoff.ledger.check import read_version
from bakeoff.ledger.schema import EARLIER_LOOKS, IS_FINAL
from bakeoff.ledger.values import read_mapping
from bakeoff.stats.looks import LineLook, Look, LookedBlock, trace_line

_COLUMNS = (
    "l.id, l.study_id, s.name, s.document, l.looked_at, l.block, l.trial_id, l.replicate, t.content, e.fingerprint"
)
_OF_TRIALS = (
    "JOIN studies s ON s.id = l.study_id JOIN trials t ON t.id = l.trial_id JOIN exam_results e ON e.trial_id = t.id"
)


def read_line(connection: sqlite3.Connection, study_id: str) -> tuple[LineLook, ...]:
    """Return the looks at the question that a study asks, ending with the look at its own results.

    Empty if no trial of the study has been evaluated on the test split.
    """
    own = next(_read(connection, _own_source(connection), study_id), None)
    if own is None:
        return ()
    return trace_line(list(_read(connection, _past_source(connection), study_id)), own)


def _own_source(connection: sqlite3.Connection) -> str:
    """Return the query for what a study sees now, as one look."""
    return (
        "SELECT 0 AS id, p.study_id, c.created_at AS looked_at, block, arm, replicate, p.trial_id FROM placements p "
        f"JOIN studies c ON c.id = p.study_id WHERE p.study_id = :study AND {_is_final(connection)}"
    )


def _past_source(connection: sqlite3.Connection) -> str:
    """Return the query for all recorded looks; ledgers older than that record use their final tests."""
    if (read_version(connection) or 0) < 5:
        return EARLIER_LOOKS.format(is_final=_is_final(connection)).replace(
            "e.opened_at", "e.opened_at AS looked_at", 1
        )
    return "SELECT id, study_id, looked_at, block, arm, replicate, trial_id FROM looks JOIN look_trials ON look_id = id"


def _is_final(connection: sqlite3.Connection) -> str:
    return IS_FINAL if (read_version(connection) or 0) >= 3 else "1"


def _read(connection: sqlite3.Connection, source: str, study_id: str) -> Iterator[Look]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM ({source}) l {_OF_TRIALS} WHERE t.state = 'done' AND e.fingerprint IN (SELECT "
        "fingerprint FROM exam_results JOIN placements USING (trial_id) WHERE placements.study_id = :study) "
        "ORDER BY l.id, l.block",
        {"study": study_id},
    )
    for _, of_look in groupby(rows, key=lambda row: row[0]):
        yield _make_look(list(of_look))


def _make_look(rows: list[tuple[Any, ...]]) -> Look:
    _, study_id, name, document, looked_at, *_ = rows[0]
    decide = read_mapping(document).get("decide") or {}
    return Look(
        study_id=study_id,
        study=name,
        looked_at=looked_at,
        metric=decide.get("metric", "accuracy"),
        against_baseline=decide.get("against") is not None,
        blocks=tuple(_make_blocks(rows)),
    )


def _make_blocks(rows: Iterable[tuple[Any, ...]]) -> Iterator[LookedBlock]:
    for block, of_block in groupby(rows, key=lambda row: row[5]):
        trials: dict[str, set[str]] = {}
        replicates, fingerprints = set(), set()
        for *_, trial_id, replicate, content, fingerprint in of_block:
            trials.setdefault(_name_recipe(content), set()).add(trial_id)
            replicates.add(replicate)
            fingerprints.add(fingerprint)
        yield LookedBlock(
            block=block,
            fingerprint=" ".join(sorted(fingerprints)),
            trials={recipe: frozenset(seen) for recipe, seen in trials.items()},
            replicates=frozenset(replicates),
        )


def _name_recipe(content: str) -> str:
    """Return what distinguishes recipes, including the user's code, but neither seed nor images."""
    fields = read_mapping(content)
    kept = {name: fields[name] for name in ("recipe", "code") if name in fields}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
