"""Reads a ledger: studies, their trials, curves and final tests. Writes nothing, needs no torch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.errors import LedgerError, NoLedgerError, UnknownStudyError, nearest
from bakeoff.ledger.check import check_tables, check_version, harden, read_version
from bakeoff.ledger.features import NO_SHARE, read_feature_shares
from bakeoff.ledger.final_tests import read_openings
from bakeoff.ledger.rows import CandidateRow
from bakeoff.ledger.values import check_row, read_facts, read_mapping, read_numbers, read_splits
from bakeoff.stats.results import TrialResult
from bakeoff.workspace import SHORT_ID_CHARACTERS, Folders

_FEWEST_ID_CHARACTERS = 6
_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as recorded in the ledger.

    Attributes:
        document: the resolved study, as JSON values.
        command: the command that repeats its run.
        seconds: wall time spent on it so far, over all its runs.
        machines: the distinct machines its trials ran on.
        final_tests: when the test split was opened for it or for a study that shares its trials, ISO times; see
            `read_openings`.
        num_tested: number of its trials that were evaluated on the test split.
        results: its ended trials, in the study's order, without a search's candidates.
        num_planned: number of its trials, without a search's candidates.
        candidates: what its search has proposed so far, block by block.
        asking: whether its search may ask for more trials.
        num_started: number of its unfinished trials that have finished an epoch.
        in_final_test: whether its own final test has started and not yet finished.
        num_outdated: trials not in `results`: folds trained before folds had their own validation split.
        facts: facts about its images by block; empty in older ledgers that did not store them.
    """

    study_id: str
    name: str
    document: dict[str, Any]
    numeric: str
    command: str
    created_at: str
    seconds: float
    machines: tuple[str, ...]
    final_tests: tuple[str, ...]
    num_tested: int
    results: tuple[TrialResult, ...]
    num_planned: int
    num_started: int
    in_final_test: bool
    num_outdated: int
    facts: Mapping[str, Mapping[str, Any]]
    candidates: tuple[CandidateRow, ...] = ()
    asking: bool = False


@contextmanager
def open_reading(folders: Folders) -> Iterator[sqlite3.Connection]:
    """Open a workspace's ledger read-only.

    Raises:
        WorkspaceError: there is no ledger, it is damaged, or from a newer version.
    """
    if not folders.ledger.is_file():
        raise NoLedgerError(f"{folders.root}: no ledger here. Run a study first, or give its --workspace DIR.")
    try:
        with closing(sqlite3.connect(f"{folders.ledger.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            harden(connection)
            version = read_version(connection)
            check_version(folders.ledger, version)
            check_tables(folders.ledger, connection, version)
            yield connection
    except sqlite3.Error as error:
        raise LedgerError(f"{folders.ledger}: this is not a readable ledger ({error}).") from error


@dataclass(frozen=True, kw_only=True)
class ListedStudy:
    """What distinguishes studies with the same name."""

    study_id: str
    name: str
    question: str
    created_at: str


def list_studies(connection: sqlite3.Connection) -> tuple[ListedStudy, ...]:
    """Return every study in the ledger, newest first."""
    query = "SELECT id, name, document, created_at FROM studies ORDER BY created_at DESC, rowid DESC"
    rows = (check_row(row, "tttt") for row in connection.execute(query))
    return tuple(
        ListedStudy(
            study_id=study_id,
            name=name,
            question=str(read_mapping(document).get("question", "")),
            created_at=created_at,
        )
        for study_id, name, document, created_at in rows
    )


def shorten_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique prefix of each id, all with the same length."""
    length = SHORT_ID_CHARACTERS
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return {each: each[:length] for each in ids}


def match_studies(studies: Sequence[ListedStudy], name: str) -> tuple[ListedStudy, ...]:
    """Return the studies called `name` or, if there are none, those whose id begins with it.

    Raises:
        WorkspaceError: there is none; the message lists all studies.
    """
    found = [study for study in studies if study.name == name]
    if not found and len(name) >= _FEWEST_ID_CHARACTERS:
        found = [study for study in studies if study.study_id.startswith(name)]
    if not found:
        names = sorted({study.name for study in studies})
        listed = ", ".join(names) or "none"
        raise UnknownStudyError(
            f"study '{name}' is not in this workspace. It contains: {listed}.{nearest(name, names)}"
        )
    return tuple(found)


def find_study(connection: sqlite3.Connection, name: str) -> str:
    """Return the id of the study called `name`, or whose id begins with it.

    Raises:
        WorkspaceError: there is none, and the message lists all studies; or there are several, and it lists their
            differences, one per line.
    """
    studies = list_studies(connection)
    found = match_studies(studies, name)
    if len(found) > 1:
        short = shorten_ids([study.study_id for study in studies])
        lines = [f"{short[each.study_id]}  {each.created_at}  {each.question[:_SHOWN_CHARACTERS]}" for each in found]
        raise UnknownStudyError(
            "\n".join([f"there are {len(found)} studies named '{name}'; give the id of one instead:", *lines])
        )
    return found[0].study_id


def read_study(connection: sqlite3.Connection, study_id: str) -> StudyRecord:
    """Return everything the ledger holds about one study."""
    query = "SELECT name, document, numeric, command, created_at, seconds FROM studies WHERE id = ?"
    row = check_row(connection.execute(query, (study_id,)).fetchone(), "tttttn")
    name, document, numeric, command, created_at, seconds = row
    machines = connection.execute(
        "SELECT DISTINCT machine FROM trials JOIN placements ON trial_id = id WHERE study_id = ?", (study_id,)
    )
    results = tuple(_read_results(connection, study_id))
    is_final = final_only(connection)
    count = connection.execute(f"SELECT COUNT(*) FROM placements WHERE study_id = ?{is_final}", (study_id,))
    started = connection.execute(
        "SELECT COUNT(DISTINCT trial_id) FROM epochs WHERE trial_id IN (SELECT trial_id FROM placements "
        "WHERE study_id = ?) AND trial_id NOT IN (SELECT id FROM trials)",
        (study_id,),
    )
    return StudyRecord(
        study_id=study_id,
        name=name,
        document=dict(read_mapping(document)),
        numeric=Modes.parse(numeric).describe(),
        command=command,
        created_at=created_at,
        seconds=seconds,
        machines=tuple(check_row(row, "t")[0] for row in machines),
        final_tests=read_openings(connection, study_id),
        num_tested=sum("test" in result.metrics for result in results),
        results=results,
        num_planned=count.fetchone()[0],
        num_started=started.fetchone()[0],
        in_final_test=_is_in_final_test(connection, study_id),
        num_outdated=count_outdated(connection, study_id),
        facts=_read_facts(connection, study_id),
        candidates=tuple(_read_candidates(connection, study_id)),
        asking=_is_asking(connection, study_id),
    )


def final_only(connection: sqlite3.Connection) -> str:
    """Return the SQL condition that excludes a search's trials; empty for older ledgers."""
    return " AND stage = 'final'" if (read_version(connection) or 0) >= 3 else ""


NESTED_ONLY = (
    " AND (fold IS NULL OR json_extract(content, '$.data.folds') IS NULL "
    "OR json_extract(content, '$.data.validation') IS NOT NULL)"
)
"""SQL condition that excludes folds trained before folds were nested, which early stopping and selection used."""


def held_out_column(connection: sqlite3.Connection) -> str:
    """Return the SQL column of metrics on the held-out fold in `exam_results` e; NULL for older ledgers."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(exam_results)")}
    return "e.held_out" if "held_out" in columns else "NULL"


def count_outdated(connection: sqlite3.Connection, study_id: str) -> int:
    """Count the trials of a study that `NESTED_ONLY` excludes."""
    query = "SELECT COUNT(*) FROM placements JOIN trials ON id = trial_id WHERE study_id = ?"
    counts = [connection.execute(query + condition, (study_id,)).fetchone()[0] for condition in ("", NESTED_ONLY)]
    return int(counts[0] - counts[1])


def count_older(connection: sqlite3.Connection, study_id: str, engine: str) -> int:
    """Count the trials of a study that another version of the engine trained: their ids are different now."""
    query = (
        "SELECT COUNT(*) FROM placements JOIN trials ON id = trial_id WHERE study_id = ? AND "
        "json_extract(content, '$.engine') != ?"
    )
    (number,) = connection.execute(query, (study_id, engine)).fetchone()
    return int(number)


def count_other_images(connection: sqlite3.Connection, study_id: str, fingerprints: Iterable[str], engine: str) -> int:
    """Count the finished trials of a study, by this version of the engine, on images that are not its images now."""
    query = (
        "SELECT COUNT(*) FROM placements JOIN trials ON id = trial_id WHERE study_id = ? AND state != 'failed' AND "
        "json_extract(content, '$.engine') = ? AND "
        "json_extract(content, '$.data.fingerprint') NOT IN (SELECT value FROM json_each(?))"
    )
    (number,) = connection.execute(query, (study_id, engine, json.dumps(list(fingerprints)))).fetchone()
    return int(number)


def _is_in_final_test(connection: sqlite3.Connection, study_id: str) -> bool:
    """Return whether a final test of the study is unfinished; those of other studies with its trials do not count.

    A trial trained after the last opening waits for the next one, which may never be requested.
    """
    query = (
        "SELECT EXISTS (SELECT 1 FROM exams o JOIN placements p ON p.study_id = o.study_id JOIN trials t ON "
        "t.id = p.trial_id LEFT JOIN exam_results e ON e.trial_id = t.id WHERE o.study_id = ? AND t.state = 'done' AND "
        f"t.finished_at <= o.opened_at AND e.trial_id IS NULL{final_only(connection)}{NESTED_ONLY})"
    )
    return bool(connection.execute(query, (study_id,)).fetchone()[0])


def _is_asking(connection: sqlite3.Connection, study_id: str) -> bool:
    if (read_version(connection) or 0) < 3:
        return False
    (asking,) = connection.execute("SELECT asking FROM studies WHERE id = ?", (study_id,)).fetchone()
    return bool(asking)


def _read_candidates(connection: sqlite3.Connection, study_id: str) -> Iterator[CandidateRow]:
    if (read_version(connection) or 0) < 3:
        return
    rows = connection.execute(
        "SELECT block, kind, number, group_number, generation, parents, changes, notes, trial_ids, state, reason, "
        "scores, same_as, is_winner FROM candidates WHERE study_id = ? ORDER BY block, kind, number",
        (study_id,),
    )
    yield from map(CandidateRow.read, rows)


def _read_facts(connection: sqlite3.Connection, study_id: str) -> Mapping[str, Mapping[str, Any]]:
    if (read_version(connection) or 0) < 2:  # an older ledger is read as it is: only a run upgrades it
        return {}
    return read_facts(connection.execute("SELECT facts FROM studies WHERE id = ?", (study_id,)).fetchone()[0])


def _read_results(connection: sqlite3.Connection, study_id: str) -> Iterator[TrialResult]:
    shares = read_feature_shares(connection, study_id)
    rows = connection.execute(
        "SELECT p.trial_id, block, arm, replicate, fold, state, reason, num_epochs, best_epoch, seconds, t.metrics, "
        f"e.metrics, {held_out_column(connection)} FROM placements p JOIN trials t ON t.id = p.trial_id "
        "LEFT JOIN exam_results e ON e.trial_id = p.trial_id "
        # A trial that another study's search pruned is neither done nor failed.
        f"WHERE study_id = ? AND state != 'pruned'{final_only(connection)}{NESTED_ONLY} ORDER BY position",
        (study_id,),
    )
    for row in rows:
        trial_id, block, arm, replicate, fold, state, reason, num_epochs, best, seconds, *scores = check_row(
            row, "tttiIttiINtTT"
        )
        metrics, test, held_out = scores
        splits = read_splits(metrics)
        for split, numbers in (("test", test), ("held-out", held_out)):
            if numbers is not None:
                splits[split] = read_numbers(numbers)
        yield TrialResult(
            trial_id=trial_id,
            block=block,
            arm=arm,
            replicate=replicate,
            fold=fold,
            state="done" if state == "done" else "failed",
            crashed=state == "failed",
            reason=reason,
            metrics=splits,
            epochs_trained=num_epochs,
            best_epoch=best,
            seconds=(seconds or 0.0) + shares.get(trial_id, NO_SHARE).seconds,
        )
