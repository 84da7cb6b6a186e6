"""The ledger: one SQLite file, one writer. Every write is idempotent, so repeated reports are stored once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bakeoff.catalog.numeric_modes import Modes, Numeric
from bakeoff.errors import LedgerError, UnwritableError
from bakeoff.ledger.absent import correct_macro_averages
from bakeoff.ledger.check import check_regular, check_tables, check_version, harden, read_version
from bakeoff.ledger.rows import CandidateRow, Outcome, Stage, TrialState
from bakeoff.ledger.schema import MIGRATIONS, SCHEMA_VERSION, TABLES
from bakeoff.ledger.values import read_facts, read_mapping, read_numbers, read_splits
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone, TrialFailed, TrialPaused
from bakeoff.workspace import Folders


@dataclass(frozen=True)
class Placement:
    """One trial's position in a study."""

    trial_id: str
    block: str
    arm: str
    replicate: int
    fold: int | None = None
    stage: Stage = "final"


def now() -> str:
    """Return the current time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Ledger:
    """The durable record of every trial in a workspace. Only the driver writes it.

    Args:
        folders: the workspace's layout; the folder is created if it is missing.

    Raises:
        WorkspaceError: if the workspace cannot be written, or its ledger is damaged or from a newer version.
    """

    def __init__(self, folders: Folders) -> None:
        self.path = folders.ledger
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_regular(self.path)
            self.path.open(
                "ab"
            ).close()  # created with the umask: SQLite gives its other files the permissions of this one
            self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
            try:
                self._prepare(folders)
                folders.mark()
            except BaseException:
                self.connection.close()
                raise
        except (OSError, sqlite3.OperationalError) as error:
            raise UnwritableError(
                f"{self.path.parent}: this workspace cannot be written ({_plain(error)}). "
                "Choose another with --workspace DIR."
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{self.path}: this is not a readable ledger ({_plain(error)}). "
                "Restore it from a copy, or choose another workspace with --workspace DIR."
            ) from error

    def _prepare(self, folders: Folders) -> None:
        harden(self.connection)
        self.connection.execute("PRAGMA journal_mode=WAL")
        # Commits must survive a power cut: a cohort's checkpoint is deleted once the ledger has its results.
        self.connection.execute("PRAGMA synchronous=FULL")
        with self.transaction():
            found = read_version(self.connection)
            check_tables(self.path, self.connection, found)
            if found is None:
                for statement in TABLES.split(";\n"):
                    self.connection.execute(statement)
                self.connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
            elif found < SCHEMA_VERSION:
                self._migrate(found)
            if found is None or found <= SCHEMA_VERSION:
                correct_macro_averages(self.connection, folders)
        check_version(self.path, found)

    def _migrate(self, found: int) -> None:
        """Migrate the tables of an older version."""
        for version in range(found, SCHEMA_VERSION):
            for statement in MIGRATIONS.get(version, ()):
                self.connection.execute(statement)
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # SQLite has already ended it if the disk is full
                self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def register_study(
        self,
        study_id: str,
        *,
        name: str,
        document: Mapping[str, Any],
        placements: Sequence[Placement],
        numeric: str,
        command: str,
        facts: Mapping[str, Mapping[str, Any]] | None = None,
        asking: bool = False,
    ) -> None:
        """Record a study: its numeric mode, its trials' positions, facts about its images by block. Idempotent.

        With `asking`, more trials will be added when a search asks for them.
        """
        with self.transaction():
            self.connection.execute(
                "INSERT INTO studies (id, name, document, numeric, command, created_at, facts, asking) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
                "numeric = excluded.numeric, document = excluded.document, command = excluded.command, "
                "facts = excluded.facts, asking = excluded.asking",
                (study_id, name, json.dumps(document), numeric, command, now(), _dump(facts or {}), asking),
            )
            self.connection.execute("DELETE FROM placements WHERE study_id = ?", (study_id,))
            self.connection.execute("DELETE FROM candidates WHERE study_id = ?", (study_id,))
            self._place(study_id, 0, placements)

    def place(self, study_id: str, placements: Sequence[Placement], candidates: Sequence[CandidateRow]) -> None:
        """Append trials requested by a search, and store its candidates."""
        with self.transaction():
            query = "SELECT COALESCE(MAX(position) + 1, 0) FROM placements WHERE study_id = ?"
            (start,) = self.connection.execute(query, (study_id,)).fetchone()
            self._place(study_id, start, placements)
            self.connection.executemany(
                f"INSERT OR REPLACE INTO candidates VALUES ({', '.join('?' * 15)})",
                [(study_id, *candidate.dump()) for candidate in candidates],
            )

    def _place(self, study_id: str, start: int, placements: Sequence[Placement]) -> None:
        self.connection.executemany(
            "INSERT INTO placements VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (study_id, n, p.trial_id, p.block, p.arm, p.replicate, p.fold, p.stage)
                for n, p in enumerate(placements, start)
            ],
        )

    def placed_trials(self, study_id: str) -> tuple[str, ...]:
        """Return the trials of a study."""
        rows = self.connection.execute("SELECT DISTINCT trial_id FROM placements WHERE study_id = ?", (study_id,))
        return tuple(row[0] for row in rows)

    def end_asking(self, study_id: str) -> None:
        """Record that a study's strategy asks for no more trials."""
        self.connection.execute("UPDATE studies SET asking = 0 WHERE id = ?", (study_id,))

    def keep_placements(self, study_id: str, trial_ids: Iterable[str]) -> None:
        """Remove trials from a study that were never requested, such as replicates a race did not need."""
        keep = set(trial_ids)
        rows = self.connection.execute("SELECT position, trial_id FROM placements WHERE study_id = ?", (study_id,))
        unasked = [(study_id, position) for position, trial_id in rows if trial_id not in keep]
        with self.transaction():
            self.connection.executemany("DELETE FROM placements WHERE study_id = ? AND position = ?", unasked)

    def numeric_of(self, study_id: str) -> str | None:
        """Return the numeric mode this study was started in, or None for a new study."""
        row = self.connection.execute("SELECT numeric FROM studies WHERE id = ?", (study_id,)).fetchone()
        return row[0] if row else None

    def earlier_modes(self, name: str) -> dict[tuple[str, str], Numeric]:
        """Return the numeric modes in which studies of this name ran their blocks, by (block, images' fingerprint).

        The newest study takes precedence.
        """
        rows = self.connection.execute("SELECT numeric, facts FROM studies WHERE name = ? ORDER BY created_at", (name,))
        found: dict[tuple[str, str], Numeric] = {}
        for numeric, facts in rows:
            modes = Modes.parse(numeric)
            for block, known in read_facts(facts).items():
                found[block, str(known.get("fingerprint", ""))] = modes.of(block)
        return found

    def trial_states(self, trial_ids: Iterable[str]) -> dict[str, TrialState]:
        """Return the state of those of `trial_ids` that have ended."""
        query = "SELECT id, state FROM trials WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self.connection.execute(query, (json.dumps(list(trial_ids)),)).fetchall())

    def outcome_of(self, trial_id: str) -> Outcome | None:
        """Return how a trial ended; None if it has not ended."""
        query = (
            "SELECT state, num_epochs, metrics, num_parameters, t.seconds + COALESCE(f.seconds, 0) FROM trials t "
            "LEFT JOIN features f ON f.trial_id = id WHERE id = ?"
        )
        row = self.connection.execute(query, (trial_id,)).fetchone()
        if row is None:
            return None
        state, num_epochs, metrics, num_parameters, seconds = row
        validation = read_splits(metrics).get("validation", {})
        return Outcome(
            state=state, num_epochs=num_epochs, validation=validation, num_parameters=num_parameters, seconds=seconds
        )

    def reason_of(self, trial_id: str) -> str:
        """Return why a trial failed; empty if it did not."""
        row = self.connection.execute("SELECT reason FROM trials WHERE id = ?", (trial_id,)).fetchone()
        return "" if row is None else str(row[0] or "")

    def curve_of(self, trial_id: str, most_epochs: int) -> tuple[Mapping[str, float], ...]:
        """Return a trial's validation metrics after each of its first epochs, as far as recorded."""
        query = "SELECT validation FROM epochs WHERE trial_id = ? AND epoch <= ? ORDER BY epoch"
        return tuple(read_numbers(row[0]) for row in self.connection.execute(query, (trial_id, most_epochs)))

    def pauses_of(self, trial_id: str) -> dict[int, str]:
        """Return the epochs after which a trial paused, each with the cohort that it resumed from."""
        query = "SELECT epoch, cohort_id FROM pauses WHERE trial_id = ? ORDER BY epoch"
        return dict(self.connection.execute(query, (trial_id,)).fetchall())

    def record_pause(self, event: TrialPaused, cohort_id: str) -> None:
        """Record that a trial is paused in a cohort's checkpoint."""
        row = (event.trial_id, event.epoch, cohort_id)
        self.connection.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?, ?)", row)

    def record_epoch(self, event: EpochDone) -> None:
        """Record an epoch. One from a checkpoint only fills a gap; one trained again is replaced and counted."""
        again = (
            "NOTHING"
            if event.replayed
            else "UPDATE SET train = excluded.train, validation = excluded.validation, seconds = excluded.seconds, "
            "images_per_second = excluded.images_per_second, times_trained = times_trained + 1"
        )
        self.connection.execute(
            "INSERT INTO epochs (trial_id, epoch, train, validation, seconds, images_per_second) "
            f"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO {again}",
            (
                event.trial_id,
                event.epoch,
                _dump(event.train),
                _dump(event.validation),
                event.seconds,
                event.images_per_second,
            ),
        )

    def record_done(self, event: TrialDone, content: Mapping[str, Any], cohort_id: str, machine: str) -> None:
        """Record a trained trial. One already recorded as done is unchanged."""
        self._insert_trial(
            event.trial_id,
            content=_dump(content),
            state="done",
            reason="",
            num_epochs=event.num_epochs,
            best_epoch=event.best_epoch,
            stop=event.stop,
            seconds=event.seconds,
            num_parameters=event.num_parameters,
            metrics=_dump(event.metrics),
            cohort_id=cohort_id,
            machine=machine,
        )
        if event.features:
            row = (event.trial_id, event.features, event.features_seconds)
            self.connection.execute("INSERT OR IGNORE INTO features VALUES (?, ?, ?)", row)

    def record_failed(self, event: TrialFailed, content: Mapping[str, Any], cohort_id: str, machine: str) -> None:
        """Record a trial that could not be finished, with its reason."""
        self._insert_trial(
            event.trial_id,
            content=_dump(content),
            state="diverged" if event.diverged else "failed",
            reason=event.reason,
            num_epochs=event.num_epochs,
            metrics="{}",
            cohort_id=cohort_id,
            machine=machine,
        )

    def record_pruned(
        self, trial_id: str, *, num_epochs: int, reason: str, content: Mapping[str, Any], cohort_id: str, machine: str
    ) -> None:
        """Record that a search pruned a paused trial; its epochs are kept. Other ended trials are unchanged."""
        self._insert_trial(
            trial_id,
            content=_dump(content),
            state="pruned",
            reason=reason,
            num_epochs=num_epochs,
            metrics="{}",
            cohort_id=cohort_id,
            machine=machine,
        )

    def _insert_trial(self, trial_id: str, **columns: str | int | float | None) -> None:
        """Insert a row; it replaces an earlier failed or pruned one, and any other row is unchanged."""
        columns = {"id": trial_id, **columns, "finished_at": now()}
        self.connection.execute("DELETE FROM trials WHERE id = ? AND state IN ('failed', 'pruned')", (trial_id,))
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT OR IGNORE INTO trials ({', '.join(columns)}) VALUES ({marks})"
        self.connection.execute(statement, tuple(columns.values()))

    def open_final_test(self, study_id: str, num_trials: int) -> int:
        """Record the opening of the test split, before it happens; return the number of this final test."""
        with self.transaction():
            cursor = self.connection.execute(
                "INSERT INTO exams (study_id, opened_at, num_trials) VALUES (?, ?, ?)", (study_id, now(), num_trials)
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def record_look(self, study_id: str, placements: Iterable[Placement]) -> None:
        """Record in advance which trials' test results a study sees. Seeing the same trials again is not a new look."""
        seen = {(each.block, each.arm, each.replicate, each.trial_id) for each in placements}
        query = (
            "SELECT block, arm, replicate, trial_id FROM look_trials WHERE look_id = "
            "(SELECT MAX(id) FROM looks WHERE study_id = ?)"
        )
        if not seen or seen == set(self.connection.execute(query, (study_id,))):
            return
        with self.transaction():
            statement = "INSERT INTO looks (study_id, looked_at) VALUES (?, ?)"
            look_id = self.connection.execute(statement, (study_id, now())).lastrowid
            self.connection.executemany(
                "INSERT OR IGNORE INTO look_trials (look_id, block, arm, replicate, trial_id) VALUES (?, ?, ?, ?, ?)",
                [(look_id, *each) for each in sorted(seen)],
            )

    def record_final_test(self, final_test_id: int, event: FinalTestDone) -> None:
        """Record one trial's scores on the test split and, with folds, on its held-out fold."""
        held_out = None if event.held_out is None else _dump(event.held_out)
        self.connection.execute(
            "INSERT OR IGNORE INTO exam_results (trial_id, exam_id, metrics, fingerprint, held_out) "
            "VALUES (?, ?, ?, ?, ?)",
            (event.trial_id, final_test_id, _dump(event.metrics), event.fingerprint, held_out),
        )

    def tested(self) -> set[str]:
        """Return the trials that have been evaluated on the test split."""
        return {row[0] for row in self.connection.execute("SELECT trial_id FROM exam_results")}

    def probe(self, key: str) -> dict[str, Any] | None:
        """Return what an earlier probe under `key` measured, or None."""
        row = self.connection.execute("SELECT result FROM probes WHERE key = ?", (key,)).fetchone()
        return dict(read_mapping(row[0])) if row else None

    def record_probe(self, key: str, result: Mapping[str, Any]) -> None:
        """Record what a probe measured."""
        self.connection.execute("INSERT OR REPLACE INTO probes VALUES (?, ?, ?)", (key, _dump(result), now()))

    def record_incident(
        self, cohort_id: str, kind: Literal["lost", "error", "split", "halved", "notice"], message: str
    ) -> None:
        """Record that something went wrong during the run."""
        self.connection.execute("INSERT INTO incidents VALUES (?, ?, ?, ?)", (now(), cohort_id, kind, message))

    def was_split(self, cohort_id: str) -> bool:
        """Return whether this cohort was split into single members to find a failing one."""
        return self._had_incident(cohort_id, "split")

    def was_halved(self, cohort_id: str) -> bool:
        """Return whether this cohort was halved for lack of memory."""
        return self._had_incident(cohort_id, "halved")

    def _had_incident(self, cohort_id: str, kind: str) -> bool:
        query = "SELECT 1 FROM incidents WHERE cohort_id = ? AND kind = ?"
        return self.connection.execute(query, (cohort_id, kind)).fetchone() is not None

    def add_seconds(self, study_id: str, seconds: float) -> None:
        """Add to this study's wall time, which excludes interruptions."""
        self.connection.execute("UPDATE studies SET seconds = seconds + ? WHERE id = ?", (seconds, study_id))


def _plain(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
