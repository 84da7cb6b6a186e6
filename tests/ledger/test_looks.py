"""The record of looks: who saw which trials on the test split, and what line of looks a study stands in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing

import pytest

from bakeoff.ledger.looks import read_line
from bakeoff.ledger.read import open_reading
from bakeoff.ledger.schema import SCHEMA_VERSION
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import FinalTestDone, TrialDone
from bakeoff.workspace import Folders

Look = Callable[..., None]


@pytest.fixture
def look(ledger: Ledger, done: Callable[..., TrialDone], tested: Callable[..., FinalTestDone]) -> Look:
    """Run a study: train its trials ARM + replicate where they are not, examine them, and record the look."""

    def make(study_id: str, arms: str, replicates: Sequence[int], name: str = "study", record: bool = True) -> None:
        places = [Placement(f"{arm}{number}", "digits", arm, number) for number in replicates for arm in arms]
        ledger.register_study(
            study_id, name=name, document={"question": "?"}, placements=places, numeric="float32", command=""
        )
        for place in places:
            content = {"recipe": {"network": place.arm}, "seed": place.replicate}
            ledger.record_done(done(place.trial_id), content, "c", "{}")
        if record:
            ledger.record_look(study_id, places)
        open_trials = [place.trial_id for place in places if place.trial_id not in ledger.tested()]
        final_test = ledger.open_final_test(study_id, len(open_trials)) if open_trials else 0
        for trial_id in open_trials:
            ledger.record_final_test(final_test, tested(trial_id))

    return make


def numbers(ledger: Ledger, study_id: str) -> list[tuple[str, int, int]]:
    line = read_line(ledger.connection, study_id)
    return [(each.study_id, len(each.replicates), each.num_pairs["digits"]) for each in line]


def test_extending_renaming_and_dropping_are_seen(ledger: Ledger, look: Look) -> None:
    look("a", "xyz", range(5))
    look("b", "xyz", range(10), name="a fresh start")
    look("c", "xz", range(10), name="two are left")
    look("d", "uv", range(5))
    assert numbers(ledger, "a") == [("a", 5, 3)]
    assert numbers(ledger, "b") == [("a", 5, 3), ("b", 10, 3)]
    assert numbers(ledger, "c") == [("a", 5, 3), ("b", 10, 3)]  # nothing new, but three arms were looked at
    assert numbers(ledger, "d") == [("d", 5, 1)]


def test_a_run_again_is_no_look(ledger: Ledger, look: Look) -> None:
    for _ in range(3):
        look("a", "xy", range(5))
    assert ledger.connection.execute("SELECT COUNT(*) FROM looks").fetchone() == (1,)
    assert len(read_line(ledger.connection, "a")) == 1


def test_without_a_final_test_nothing_was_looked_at(ledger: Ledger, register: Callable[..., None]) -> None:
    register("a")
    assert read_line(ledger.connection, "a") == ()


def test_ledgers_from_before_looks_were_recorded_have_their_exams(folders: Folders, look: Look, ledger: Ledger) -> None:
    look("a", "xy", range(3), record=False)
    look("b", "xy", range(6), record=False)
    # A kill in the final test, taken up again: one look.
    ledger.connection.execute("INSERT INTO exams (study_id, opened_at, num_trials) VALUES ('b', '9', 0)")
    ledger.close()
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.executescript(
            "DROP TABLE looks; DROP TABLE look_trials; ALTER TABLE exam_results DROP COLUMN held_out; "
            "UPDATE meta SET value = '4' WHERE key = 'schema_version'"
        )
    expected = [("a", 3, 1), ("b", 6, 1)]
    with open_reading(folders) as connection:
        assert [(each.study_id, len(each.replicates), 1) for each in read_line(connection, "b")] == expected
    upgraded = Ledger(folders)
    try:
        assert numbers(upgraded, "b") == expected
        assert numbers(upgraded, "a") == expected[:1]
        (version,) = upgraded.connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        assert int(version) == SCHEMA_VERSION
    finally:
        upgraded.close()


def test_a_ledger_with_looks_is_sound_to_sqlite(ledger: Ledger, look: Look) -> None:
    """SQLite 3.40's check saw a NULL in every row, so `doctor` called every ledger with a final test damaged."""
    look("a", "xy", range(3))
    assert ledger.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
