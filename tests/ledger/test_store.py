"""Writing the ledger: once is enough, all or nothing, and clear words where it cannot be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.errors import WorkspaceError
from bakeoff.ledger.schema import SCHEMA_VERSION
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone, TrialFailed
from bakeoff.workspace import Folders

CONTENT = {"seed": 1}


def rows(ledger: Ledger, query: str) -> list[tuple[object, ...]]:
    return ledger.connection.execute(query).fetchall()


def fail(trial_id: str = "t1", *, diverged: bool = False, reason: str = "boom") -> TrialFailed:
    return TrialFailed(trial_id=trial_id, reason=reason, diverged=diverged, num_epochs=1)


def test_an_epoch_reported_again_is_held_once(ledger: Ledger, epoch: Callable[..., EpochDone]) -> None:
    ledger.record_epoch(epoch())
    ledger.record_epoch(epoch(replayed=True))
    ledger.record_epoch(epoch(replayed=True))
    assert rows(ledger, "SELECT epoch, times_trained FROM epochs") == [(1, 1)]


def test_an_epoch_read_back_fills_a_gap_as_trained_once(ledger: Ledger, epoch: Callable[..., EpochDone]) -> None:
    ledger.record_epoch(epoch(replayed=True))
    assert rows(ledger, "SELECT epoch, times_trained FROM epochs") == [(1, 1)]


def test_an_epoch_trained_again_is_counted_and_its_numbers_are_the_newest(
    ledger: Ledger, epoch: Callable[..., EpochDone]
) -> None:
    ledger.record_epoch(epoch())
    ledger.record_epoch(epoch(train={"loss": 9.0}, validation={"accuracy": 0.25}, seconds=2.0))
    assert rows(ledger, "SELECT train, validation, seconds, times_trained FROM epochs") == [
        ('{"loss": 9.0}', '{"accuracy": 0.25}', 2.0, 2)
    ]


def test_a_replayed_epoch_changes_no_number(ledger: Ledger, epoch: Callable[..., EpochDone]) -> None:
    ledger.record_epoch(epoch())
    before = rows(ledger, "SELECT * FROM epochs")
    ledger.record_epoch(epoch(train={"loss": 9.0}, replayed=True))
    assert rows(ledger, "SELECT * FROM epochs") == before


def test_a_finished_trial_stays_as_it_is(ledger: Ledger, done: Callable[..., TrialDone]) -> None:
    ledger.record_done(done(), CONTENT, "c1", "{}")
    before = rows(ledger, "SELECT * FROM trials")
    ledger.record_done(done(num_epochs=9, seconds=99.0), CONTENT, "c2", "{}")
    ledger.record_failed(fail(), CONTENT, "c2", "{}")
    ledger.record_failed(fail(diverged=True), CONTENT, "c2", "{}")
    assert rows(ledger, "SELECT * FROM trials") == before


def test_a_failed_trial_may_succeed_later_and_a_diverged_one_never_changes(
    ledger: Ledger, done: Callable[..., TrialDone]
) -> None:
    ledger.record_failed(fail("t1"), CONTENT, "c1", "{}")
    ledger.record_failed(fail("t2", diverged=True), CONTENT, "c1", "{}")
    assert ledger.trial_states(["t1", "t2"]) == {"t1": "failed", "t2": "diverged"}
    for trial_id in ("t1", "t2"):
        ledger.record_done(done(trial_id), CONTENT, "c1", "{}")
    assert ledger.trial_states(["t1", "t2"]) == {"t1": "done", "t2": "diverged"}


def test_a_trial_that_fails_again_has_its_newest_reason(ledger: Ledger) -> None:
    ledger.record_failed(fail(reason="first"), CONTENT, "c1", "{}")
    ledger.record_failed(fail(reason="second"), CONTENT, "c1", "{}")
    assert rows(ledger, "SELECT reason FROM trials") == [("second",)]


def test_states_are_told_of_those_asked_for_only(ledger: Ledger, done: Callable[..., TrialDone]) -> None:
    for number in range(5):
        ledger.record_done(done(f"t{number}"), CONTENT, "c1", "{}")
    assert ledger.trial_states(["t3", "t1", "unknown"]) == {"t1": "done", "t3": "done"}
    assert ledger.trial_states([]) == {}


def test_validation_metrics_come_back(ledger: Ledger, done: Callable[..., TrialDone]) -> None:
    ledger.record_done(done("t1"), CONTENT, "c1", "{}")
    ledger.record_failed(fail("t2"), CONTENT, "c1", "{}")
    first, second = ledger.outcome_of("t1"), ledger.outcome_of("t2")
    assert first is not None
    assert (first.state, first.num_epochs, first.validation) == ("done", 3, {"accuracy": 0.8})
    assert second is not None
    assert (second.state, second.num_epochs, second.validation, second.seconds) == ("failed", 1, {}, None)
    assert ledger.outcome_of("t3") is None


def test_a_transaction_is_all_or_nothing(
    ledger: Ledger, epoch: Callable[..., EpochDone], done: Callable[..., TrialDone]
) -> None:
    def write() -> None:
        with ledger.transaction():
            ledger.record_epoch(epoch("t1", 2))
            ledger.record_done(done(), CONTENT, "c1", "{}")
            raise KeyboardInterrupt

    with ledger.transaction():
        ledger.record_epoch(epoch())
    with pytest.raises(KeyboardInterrupt):
        write()
    assert rows(ledger, "SELECT epoch FROM epochs") == [(1,)]
    assert ledger.trial_states(["t1"]) == {}
    with ledger.transaction():  # the ledger is usable afterwards
        ledger.record_epoch(epoch("t1", 2))
    assert rows(ledger, "SELECT epoch FROM epochs ORDER BY epoch") == [(1,), (2,)]


def test_what_is_written_survives_without_closing(
    ledger: Ledger, folders: Folders, epoch: Callable[..., EpochDone]
) -> None:
    with ledger.transaction():
        ledger.record_epoch(epoch())
    with closing(sqlite3.connect(folders.ledger)) as other:
        assert other.execute("SELECT COUNT(*) FROM epochs").fetchone() == (1,)


def test_registering_again_replaces_the_places(ledger: Ledger, register: Callable[..., None]) -> None:
    register(arms=("a", "b"))
    register(arms=("b",), trials=["t2"], name="renamed", numeric="bfloat16")
    assert rows(ledger, "SELECT position, trial_id, arm FROM placements") == [(0, "t2", "b")]
    assert rows(ledger, "SELECT name, numeric FROM studies") == [("renamed", "bfloat16")]
    assert ledger.numeric_of("s" * 64) == "bfloat16"
    assert ledger.numeric_of("unknown") is None


def test_registering_is_all_or_nothing(ledger: Ledger, register: Callable[..., None]) -> None:
    register(arms=("a", "b"))
    twice: list[Placement] = [Placement("t1", "digits", "a", 0)]
    with pytest.raises(TypeError):
        ledger.register_study(
            "s" * 64, name="x", document={"bad": object()}, placements=twice, numeric="float32", command=""
        )
    assert len(rows(ledger, "SELECT * FROM placements")) == 2


def test_wall_time_adds_up(ledger: Ledger, register: Callable[..., None]) -> None:
    register()
    ledger.add_seconds("s" * 64, 1.5)
    ledger.add_seconds("s" * 64, 2.0)
    assert rows(ledger, "SELECT seconds FROM studies") == [(3.5,)]


def test_a_probe_is_remembered(ledger: Ledger) -> None:
    assert ledger.probe("k") is None
    ledger.record_probe("k", {"agrees": True, "seconds_per_step": {"float32": 0.25}})
    assert ledger.probe("k") == {"agrees": True, "seconds_per_step": {"float32": 0.25}}


def test_exams_are_counted_and_their_results_kept_once(
    ledger: Ledger, register: Callable[..., None], tested: Callable[..., FinalTestDone]
) -> None:
    register()
    first, second = ledger.open_final_test("s" * 64, 2), ledger.open_final_test("s" * 64, 1)
    assert first != second
    ledger.record_final_test(first, tested("t1", 0.7))
    ledger.record_final_test(second, tested("t1", 0.1))
    ledger.record_final_test(second, tested("t2", 0.6))
    assert ledger.tested() == {"t1", "t2"}
    assert rows(ledger, "SELECT trial_id, exam_id, metrics FROM exam_results") == [
        ("t1", first, '{"accuracy": 0.7}'),
        ("t2", second, '{"accuracy": 0.6}'),
    ]


def test_a_cohort_taken_apart_is_remembered(ledger: Ledger) -> None:
    ledger.record_incident("c1", "lost", "died")
    assert not ledger.was_split("c1")
    ledger.record_incident("c1", "split", "each alone")
    assert ledger.was_split("c1")
    assert not ledger.was_split("c2")


def test_a_number_that_is_none_is_refused(ledger: Ledger, epoch: Callable[..., EpochDone]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ledger.record_epoch(epoch(train={"loss": float("nan")}))


def test_opening_again_keeps_everything(folders: Folders, epoch: Callable[..., EpochDone]) -> None:
    for number in (1, 2):
        ledger = Ledger(folders)
        ledger.record_epoch(epoch("t1", number))
        ledger.close()
    with closing(sqlite3.connect(folders.ledger)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM epochs").fetchone() == (2,)
        assert connection.execute("SELECT value FROM meta").fetchone() == (str(SCHEMA_VERSION),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_ledger_is_refused_and_left_alone(folders: Folders) -> None:
    Ledger(folders).close()
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(WorkspaceError, match=rf"\b99\b.*\b{SCHEMA_VERSION}\b.*Upgrade.*--workspace") as raised:
        Ledger(folders)
    assert str(raised.value).startswith(f"{folders.ledger}: ")
    with closing(sqlite3.connect(folders.ledger)) as connection:
        assert connection.execute("SELECT value FROM meta").fetchone() == ("99",)


def test_a_damaged_ledger_is_named(folders: Folders) -> None:
    folders.root.mkdir(parents=True)
    folders.ledger.write_bytes(b"this is no database" * 500)
    with pytest.raises(WorkspaceError, match=r"not a database.*Restore.*--workspace") as raised:
        Ledger(folders)
    assert str(raised.value).startswith(f"{folders.ledger}: ")


def test_a_file_in_place_of_the_workspace_is_named(tmp_path: Path) -> None:
    place = tmp_path / "runs"
    place.write_text("mine")
    with pytest.raises(WorkspaceError, match=r"File exists.*--workspace") as raised:
        Ledger(Folders(place))
    assert str(raised.value).startswith(f"{place}: ")
    assert place.read_text() == "mine"


def test_a_workspace_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "runs"
    with pytest.raises(WorkspaceError, match=r"file/runs: .*Not a directory"):
        Ledger(Folders(place))


def test_a_folder_in_place_of_the_ledger_is_named(folders: Folders) -> None:
    folders.ledger.mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="Is a directory"):
        Ledger(folders)


def test_a_full_disk_leaves_nothing_half_written(ledger: Ledger, epoch: Callable[..., EpochDone]) -> None:
    used = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger.connection.execute(f"PRAGMA max_page_count = {used}")  # what SQLite answers when the disk is full

    def write() -> None:
        with ledger.transaction():
            for number in range(1, 2_000):
                ledger.record_epoch(epoch("t1", number))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        write()
    assert rows(ledger, "SELECT COUNT(*) FROM epochs") == [(0,)]
