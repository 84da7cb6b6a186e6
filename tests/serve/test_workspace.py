"""Reading a workspace again and again: what is kept, and that a writer is never in anybody's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bakeoff.ledger.store import Ledger
from bakeoff.messages import EpochDone
from bakeoff.serve.workspace import Workspace
from bakeoff.workspace import Folders

STUDY = "ab" * 32


def add_epoch(ledger: Ledger, trial_id: str, number: int) -> None:
    values = {"loss": 1 / number, "accuracy": 0.9}
    event = EpochDone(
        trial_id=trial_id, epoch=number, train=values, validation=values, seconds=0.1, images_per_second=1.0
    )
    ledger.record_epoch(event)


@contextmanager
def reading(workspace: Workspace) -> Iterator[list[int]]:
    """Read all that pages show in two threads, as fast as it goes; yield the numbers of epochs seen."""
    seen: list[int] = []
    errors: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                (study,) = workspace.list_studies()
                found = workspace.find_study(STUDY)
                assert found is not None
                workspace.draw(found.progress, found.progress.blocks[0], "loss")
                seen.append(study.progress.num_epochs)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert errors == []


@pytest.mark.usefixtures("study")
def test_a_writer_goes_on_while_pages_read(ledger: Ledger, folders: Folders) -> None:
    ledger.connection.execute("PRAGMA busy_timeout = 0")  # it would fail, not wait, were it locked out
    with reading(Workspace(folders.root)) as seen:
        for number in range(5, 405):
            add_epoch(ledger, "010", number)
            if number % 100 == 0:
                ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        wanted = 12 + 400
        waiting = threading.Event()
        for _ in range(600):
            if seen and seen[-1] == wanted:
                break
            waiting.wait(0.05)
    assert seen[-1] == wanted
    assert ledger.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_did_not_change_is_not_read_again(
    study: Ledger, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(folders.root)
    made: list[str] = []
    monkeypatch.setattr("bakeoff.serve.workspace.gather_report", lambda study_id, folders: made.append(study_id))
    monkeypatch.setattr("bakeoff.serve.workspace.write_html", lambda report: "page")
    monkeypatch.setattr("bakeoff.serve.workspace._SETTLED_SECONDS", -1.0)
    for _ in range(3):
        assert workspace.render_report(STUDY) == "page"
    assert len(made) == 1
    add_epoch(study, "010", 3)
    workspace.render_report(STUDY)
    assert len(made) == 2


def test_a_workspace_made_anew_is_seen(study: Ledger, folders: Folders) -> None:
    workspace = Workspace(folders.root)
    assert workspace.find_study(STUDY) is not None
    study.connection.execute("DELETE FROM placements")
    study.connection.execute("DELETE FROM studies")
    assert workspace.find_study(STUDY) is None
    assert workspace.list_studies() == ()
