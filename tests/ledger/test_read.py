"""Reading a ledger back: everything that was written, without writing and without the writer's leave."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.errors import WorkspaceError
from bakeoff.ledger.curves import EpochRow, read_study_epochs
from bakeoff.ledger.read import find_study, list_studies, open_reading, read_study
from bakeoff.ledger.schema import SCHEMA_VERSION
from bakeoff.ledger.store import Ledger
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone, TrialFailed
from bakeoff.workspace import Folders

CONTENT = {"seed": 1}
STUDY = "s" * 64


@pytest.fixture
def filled(
    ledger: Ledger,
    register: Callable[..., None],
    epoch: Callable[..., EpochDone],
    done: Callable[..., TrialDone],
    tested: Callable[..., FinalTestDone],
) -> Ledger:
    """A study of four arms: one done and tested, one diverged, one failed, one started."""
    register(STUDY, arms=("a", "b", "c", "d"))
    for number in (2, 1, 3):
        ledger.record_epoch(epoch("t1", number))
    ledger.record_epoch(epoch("t4", 1))
    ledger.record_done(done("t1"), CONTENT, "c1", '{"cores": "2"}')
    ledger.record_failed(
        TrialFailed(trial_id="t2", reason="diverged: NaN", diverged=True, num_epochs=2), CONTENT, "c1", '{"cores": "2"}'
    )
    ledger.record_failed(TrialFailed(trial_id="t3", reason="killed", diverged=False), CONTENT, "c2", '{"cores": "2"}')
    ledger.record_final_test(ledger.open_final_test(STUDY, 1), tested("t1"))
    ledger.add_seconds(STUDY, 12.5)
    return ledger


def test_a_study_reads_back_whole(filled: Ledger, folders: Folders) -> None:
    with open_reading(folders) as connection:
        record = read_study(connection, STUDY)
    assert (record.study_id, record.name, record.document) == (STUDY, "tiny", {"question": "Which?"})
    assert (record.numeric, record.command, record.seconds) == ("float32", "bakeoff run tiny", 12.5)
    assert (record.num_planned, record.num_started, record.num_tested) == (4, 1, 1)
    assert record.machines == ('{"cores": "2"}',)
    assert len(record.final_tests) == 1
    first, second, third = record.results
    assert (first.trial_id, first.block, first.arm, first.replicate, first.state) == ("t1", "digits", "a", 0, "done")
    assert (first.epochs_trained, first.best_epoch, first.seconds) == (3, 2, 1.5)
    assert first.metrics == {
        "train": {"accuracy": 0.9},
        "validation": {"accuracy": 0.8},
        "test": {"accuracy": 0.7},
    }
    assert (second.state, second.reason, second.epochs_trained) == ("failed", "diverged: NaN", 2)
    assert (third.state, third.reason, third.metrics) == ("failed", "killed", {})


def test_a_kill_in_the_final_test_is_no_second_opening(
    ledger: Ledger, register: Callable[..., None], done: Callable[..., TrialDone], tested: Callable[..., FinalTestDone]
) -> None:
    def openings() -> int:
        return len(read_study(ledger.connection, STUDY).final_tests)

    def train(trial_id: str, finished_at: str) -> None:
        ledger.record_done(done(trial_id), CONTENT, "c1", "{}")
        ledger.connection.execute("UPDATE trials SET finished_at = ? WHERE id = ?", (finished_at, trial_id))

    def examine(at: str, *trial_ids: str) -> None:
        final_test = ledger.open_final_test(STUDY, len(trial_ids))
        ledger.connection.execute("UPDATE exams SET opened_at = ? WHERE id = ?", (at, final_test))
        for trial_id in trial_ids:
            ledger.record_final_test(final_test, tested(trial_id))

    register(STUDY, arms=("a", "b", "c"))
    train("t1", "2026-01-01T00:00:00+00:00")
    train("t2", "2026-01-01T00:00:01+00:00")
    examine("2026-01-01T00:00:02+00:00", "t1")  # killed here
    examine("2026-01-01T00:00:09+00:00")  # and here
    examine("2026-01-01T00:00:10+00:00", "t2")
    assert openings() == 1
    # What is trained after a look and then examined is another one: it may owe something to the first.
    train("t3", "2026-01-01T00:00:20+00:00")
    examine("2026-01-01T00:00:30+00:00", "t3")
    assert openings() == 2


def test_epochs_read_back_in_order(filled: Ledger, folders: Folders) -> None:
    with open_reading(folders) as connection:
        epochs = list(read_study_epochs(connection, STUDY))
    assert [each.epoch for each in epochs] == [1, 2, 3]
    assert epochs[1] == EpochRow(
        position=0,
        block="digits",
        arm="a",
        epoch=2,
        train={"loss": 0.5, "accuracy": 0.5},
        validation={"accuracy": 0.2},
    )


def test_reading_while_a_writer_writes(filled: Ledger, folders: Folders, epoch: Callable[..., EpochDone]) -> None:
    with filled.transaction():
        filled.record_epoch(epoch("t4", 2))
        with open_reading(folders) as connection:
            assert _count_epochs(connection) == 1  # what is not committed is not seen
            assert read_study(connection, STUDY).num_planned == 4
    with open_reading(folders) as connection:
        assert _count_epochs(connection) == 2


def _count_epochs(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT COUNT(*) FROM epochs WHERE trial_id = 't4'").fetchone()[0])


def test_reading_writes_nothing(filled: Ledger, folders: Folders) -> None:
    with open_reading(folders) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM trials")


def test_studies_are_listed_newest_first(ledger: Ledger, register: Callable[..., None], folders: Folders) -> None:
    register("a" * 64, name="old")
    register("b" * 64, name="new")
    ledger.connection.execute("UPDATE studies SET created_at = '2001-01-01T00:00:00+00:00' WHERE name = 'old'")
    with open_reading(folders) as connection:
        assert [study.name for study in list_studies(connection)] == ["new", "old"]


def test_a_study_is_found_by_name_or_id(ledger: Ledger, register: Callable[..., None], folders: Folders) -> None:
    register("a" * 64, name="tiny")
    register("b" * 64, name="other")
    with open_reading(folders) as connection:
        assert find_study(connection, "tiny") == "a" * 64
        assert find_study(connection, "bbbbbb") == "b" * 64
        with pytest.raises(WorkspaceError) as raised:
            find_study(connection, "tinny")
    assert str(raised.value) == "study 'tinny' is not in this workspace. It contains: other, tiny. Did you mean 'tiny'?"


def test_a_name_of_several_studies_lists_them(ledger: Ledger, register: Callable[..., None], folders: Folders) -> None:
    """The newest was taken for all of them: whoever asked for the other got an answer to another question."""
    for first in ("a", "b"):
        register(first * 9 + "0" * 55, name="tiny")
    register("a" * 8 + "c" * 56, name="apart")
    ledger.connection.execute("UPDATE studies SET created_at = '2001-02-03T04:05:06+00:00'")
    ledger.connection.execute("""UPDATE studies SET document = '{"question": "Which?"}'""")
    with open_reading(folders) as connection:
        with pytest.raises(WorkspaceError) as raised:
            find_study(connection, "tiny")
        assert find_study(connection, "aaaaaaaaa") == "a" * 9 + "0" * 55
        with pytest.raises(WorkspaceError, match="there are 2 studies named 'aaaaaa'"):
            find_study(connection, "aaaaaa")
    assert str(raised.value).splitlines() == [
        "there are 2 studies named 'tiny'; give the id of one instead:",
        "bbbbbbbbb  2001-02-03T04:05:06+00:00  Which?",
        "aaaaaaaaa  2001-02-03T04:05:06+00:00  Which?",
    ]


def test_an_exam_of_another_study_counts_where_trials_are_shared(
    filled: Ledger, register: Callable[..., None], folders: Folders
) -> None:
    register("z" * 64, name="sharing", arms=("x",), trials=["t1"])
    register("y" * 64, name="apart", arms=("x",), trials=["t9"])
    with open_reading(folders) as connection:
        assert len(read_study(connection, "z" * 64).final_tests) == 1
        assert read_study(connection, "y" * 64).final_tests == ()


def test_a_moved_workspace_reads_the_same(filled: Ledger, folders: Folders, tmp_path: Path) -> None:
    with open_reading(folders) as connection:
        before = read_study(connection, STUDY)
    filled.close()
    moved = Folders(tmp_path / "else where, 100%#?" / "runs")
    moved.root.parent.mkdir()
    shutil.move(folders.root, moved.root)
    with open_reading(moved) as connection:
        assert read_study(connection, STUDY) == before


def test_no_ledger_is_said_so(folders: Folders) -> None:
    with pytest.raises(WorkspaceError) as raised, open_reading(folders):
        pass
    assert str(raised.value) == f"{folders.root}: no ledger here. Run a study first, or give its --workspace DIR."
    assert not folders.root.exists()


def test_a_newer_ledger_is_not_read(folders: Folders) -> None:
    Ledger(folders).close()
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    newer = rf"written by a newer bakeoff \(its format is 99, this one reads up to {SCHEMA_VERSION}\)"
    with pytest.raises(WorkspaceError, match=newer), open_reading(folders):
        pass


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["damaged", "empty"])
def test_a_damaged_ledger_is_said_so(folders: Folders, content: bytes) -> None:
    folders.root.mkdir()
    folders.ledger.write_bytes(content)
    damaged = r"ledger\.sqlite: this is not a readable ledger"
    with pytest.raises(WorkspaceError, match=damaged), open_reading(folders) as connection:
        list_studies(connection)
