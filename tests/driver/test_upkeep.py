"""`doctor` and `gc` on a real workspace: the whole is left alone, the damaged is named, the left behind is freed."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from bakeoff.api import Study, load, run
from bakeoff.driver.doctor import examine
from bakeoff.driver.gc import collect_cache, collect_workspace
from bakeoff.engine.checkpoint_file import write_file
from bakeoff.errors import WorkspaceError
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("in_process")

STUDY = {
    "question": "?",
    "name": "small",
    "recipe": {"network": {"name": "mlp", "units": [4]}, "epochs": 1, "batch_size": 256},
    "arms": [{"optimizer.learning_rate": [0.01, 0.1]}],
    "replicates": 2,
    "numeric": "float32",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "runs"
    run(Study.model_validate(STUDY), workspace=folder, workers=1)
    return folder


@pytest.fixture
def folders(trained: Path, tmp_path: Path) -> Folders:
    return Folders(Path(shutil.copytree(trained, tmp_path / "runs")))


def first_trial(folders: Folders) -> str:
    return min(path.name for path in folders.trials.glob("*/*"))


def problems(folders: Folders) -> list[str]:
    return [finding.text for finding in examine(folders.root) if finding.level == "problem"]


def execute(folders: Folders, statement: str) -> None:
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.execute(statement)


def test_a_whole_workspace_has_no_problem_and_nothing_to_free(folders: Folders) -> None:
    found = list(examine(folders.root))
    assert {finding.level for finding in found} == {"ok"}
    assert any("4 trials done" in finding.text for finding in found)
    assert collect_workspace(folders.root, delete=True) == ()


def cut_weights(folders: Folders, trial_id: str) -> Path:
    path = folders.weights(trial_id)
    path.write_bytes(path.read_bytes()[:40])
    return path


def remove_predictions(folders: Folders, trial_id: str) -> Path:
    path = folders.predictions(trial_id, "test")
    path.unlink()
    return path


def garble_predictions(folders: Folders, trial_id: str) -> Path:
    path = folders.predictions(trial_id, "validation")
    path.write_bytes(b"no archive")
    return path


@pytest.mark.parametrize("damage", [cut_weights, remove_predictions, garble_predictions])
def test_a_file_that_cannot_be_read_is_named(folders: Folders, damage: Callable[[Folders, str], Path]) -> None:
    path = damage(folders, first_trial(folders))
    (problem,) = problems(folders)
    assert problem.startswith(f"{path}: ")
    assert "\n" not in problem


def test_a_failed_trial_and_an_incident_are_told(folders: Folders) -> None:
    execute(folders, f"UPDATE trials SET state = 'failed', reason = 'boom.' WHERE id = '{first_trial(folders)}'")
    execute(folders, "INSERT INTO incidents VALUES ('now', 'c', 'lost', 'gone')")
    (problem,) = problems(folders)
    assert problem.startswith("1 failed trial: boom. ")
    assert any("workers lost: 1" in finding.text for finding in examine(folders.root) if finding.level == "note")


def test_a_gap_among_the_epochs_and_a_damaged_ledger_are_told(folders: Folders) -> None:
    execute(folders, f"UPDATE epochs SET epoch = 3 WHERE trial_id = '{first_trial(folders)}'")
    (problem,) = problems(folders)
    assert problem.startswith("1 trial ")
    assert "missing epochs" in problem
    folders.ledger.write_bytes(b"no database" * 100)
    with pytest.raises(WorkspaceError, match="not a readable"):
        list(examine(folders.root))


def test_what_nothing_refers_to_is_freed_and_nothing_else(folders: Folders) -> None:
    kept = {path for path in folders.root.rglob("*") if path.is_file() and path.suffix != ".lock"}
    placed = first_trial(folders)
    folders.checkpoints.mkdir(exist_ok=True)
    content = {"format": 2, "epoch": 1, "members": {placed: {}}}
    write_file(folders.checkpoint("e" * 24), content, {"0": np.zeros(3)})
    write_file(folders.checkpoint("d" * 24), {**content, "members": {"f" * 24: {}}}, {})
    (folders.checkpoints / f"{'b' * 24}.pt").write_bytes(b"x")
    (folders.checkpoints / ".tmpAbCdEf").write_bytes(b"x")
    (folders.checkpoints / f"{'c' * 24}.safetensors.damaged").write_bytes(b"x")
    (folders.weights(placed).parent / "weights.safetensors.12.part").write_bytes(b"xx")
    folders.weights("0" * 24).parent.mkdir(parents=True)
    folders.weights("0" * 24).write_bytes(b"xxx")
    shown = collect_workspace(folders.root, delete=False)
    assert len(shown) == 7
    assert all(each.path.exists() and each.num_bytes for each in shown)
    assert any("7 places" in finding.text for finding in examine(folders.root))
    assert collect_workspace(folders.root, delete=True) == shown
    assert {path for path in folders.root.rglob("*") if path.is_file() and path.suffix != ".lock"} == kept
    assert load("small", folders.root).state == "done"


def test_the_checkpoint_of_what_is_not_at_its_end_stays(folders: Folders) -> None:
    placed = first_trial(folders)
    folders.checkpoints.mkdir(exist_ok=True)
    write_file(folders.checkpoint("a" * 24), {"format": 2, "epoch": 1, "members": {placed: {}}}, {})
    for statement in (
        f"DELETE FROM trials WHERE id = '{placed}'",
        f"INSERT INTO trials SELECT '{placed}', content, 'failed', 'boom', num_epochs, best_epoch, stop, seconds, "
        "num_parameters, metrics, cohort_id, machine, finished_at FROM trials LIMIT 1",
    ):
        execute(folders, statement)
        assert collect_workspace(folders.root, delete=True) == ()
        assert folders.checkpoint("a" * 24).exists()


def test_features_are_freed_when_every_trial_has_ended(folders: Folders) -> None:
    key = "a" * 24
    paths = [folders.feature_rows(key), folders.feature_facts(key), folders.feature_part("b" * 24, 256)]
    for path in (*paths, own := folders.features / key / "notes.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    placed = first_trial(folders)
    execute(folders, f"UPDATE trials SET state = 'failed' WHERE id = '{placed}'")
    assert collect_workspace(folders.root, delete=True) == ()
    execute(folders, f"UPDATE trials SET state = 'done' WHERE id = '{placed}'")
    assert [each.num_bytes for each in collect_workspace(folders.root, delete=True)] == [2, 1]
    assert [path.exists() for path in (*paths, own)] == [False, False, False, True]


def test_a_damaged_checkpoint_is_a_problem_and_left_to_the_run(folders: Folders) -> None:
    folders.checkpoints.mkdir(exist_ok=True)
    folders.checkpoint("a" * 24).write_bytes(b"no checkpoint")
    (problem,) = problems(folders)
    assert problem.startswith(str(folders.checkpoint("a" * 24)))
    assert "next run" in problem
    assert collect_workspace(folders.root, delete=True) == ()


def test_nothing_is_freed_while_a_run_is_under_way(folders: Folders) -> None:
    with FileLock(folders.driver_lock):
        with pytest.raises(WorkspaceError, match="in progress"):
            collect_workspace(folders.root, delete=True)
        assert any("in progress" in finding.text for finding in examine(folders.root))


def test_the_cache_is_freed_of_what_was_long_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path))
    for name in (f"decoded/digits-train-{16 * '1'}/pixels.npy", f"features/{24 * 'a'}.npy", "downloads/mnist/a.gz"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert collect_cache(1, delete=True) == ()
    assert len(collect_cache(0, delete=False)) == 2
    collect_cache(0, delete=True)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.gz"]


FOREIGN = (
    "thesis.part",
    ".tmp_thesis/chapter.tex",
    ".tmp_notes",
    "cohorts/ours.safetensors",
    "cohorts/ours.safetensors.damaged",
    "cohorts/old.pt",
    "cohorts/thesis.part",
    "trials/mine/first/notes.txt",
    "trials/mine/weights.safetensors",
    f"trials/ab/{24 * 'a'}/notes.txt",
    "reports/mine/draft.part",
    "weights/mine.safetensors.part",
    "pictures/cat.png",
)


def test_only_what_bakeoff_has_made_is_freed_or_cleaned_away(folders: Folders, tmp_path: Path) -> None:
    """`gc --workspace .` deleted whole folders of the user's, and so did the next run with what ends in .part."""
    for name in FOREIGN:
        (folders.root / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.root / name).write_text("mine")
    ours = folders.root / f"trials/ab/{24 * 'a'}/weights.safetensors"
    ours.write_text("ours")
    assert [each.files for each in collect_workspace(folders.root, delete=True)] == [(ours,)]
    assert not ours.exists()
    run(Study.model_validate(STUDY), workspace=folders.root, workers=1)
    assert [name for name in FOREIGN if not (folders.root / name).is_file()] == []


def test_links_are_neither_followed_nor_freed(folders: Folders, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / ("b" * 24)
    mine.mkdir(parents=True)
    (mine / "weights.safetensors").write_text("mine")
    (folders.trials / "bb").mkdir(exist_ok=True)
    (folders.trials / "bb" / mine.name).symlink_to(mine)
    (folders.trials / "cc").symlink_to(mine.parent)
    folders.checkpoints.mkdir(exist_ok=True)
    (folders.checkpoints / f"{24 * 'd'}.pt").symlink_to(mine / "weights.safetensors")
    assert collect_workspace(folders.root, delete=True) == ()
    assert (mine / "weights.safetensors").read_text() == "mine"
    assert len(list(folders.checkpoints.iterdir())) == 1


def test_the_cache_may_lie_in_anybody_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path))
    foreign = ("decoded/film/reel.npy", "features/notes.npy", f"decoded/digits-train-{16 * '1'}/notes.txt")
    ours = (f"decoded/digits-train-{16 * '1'}/pixels.npy", f"features/{24 * '2'}.npy")
    busy = f"features/{24 * '3'}.npy"
    for name in (*foreign, *ours, busy):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with FileLock(tmp_path / f"{busy}.lock"):
        assert [file for each in collect_cache(0, delete=True) for file in each.files] == [tmp_path / n for n in ours]
    assert all((tmp_path / name).exists() for name in (*foreign, busy))


def test_a_workspace_says_what_it_is_and_an_older_one_is_known_by_its_ledger(folders: Folders) -> None:
    assert "bakeoff" in folders.marker.read_text("utf-8")
    folders.marker.unlink()
    assert collect_workspace(folders.root, delete=True) == ()
    run(Study.model_validate(STUDY), workspace=folders.root, workers=1)
    assert folders.marker.is_file()
    folders.ledger.unlink()
    with pytest.raises(WorkspaceError, match="no ledger"):
        collect_workspace(folders.root, delete=True)


def test_a_checkpoint_that_cannot_be_read_is_no_damaged_one(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folders.checkpoint("a" * 24)
    write_file(path, {"format": 2, "epoch": 1, "members": {}}, {})
    refuse_reading_of(monkeypatch, path)
    (problem,) = problems(folders)
    assert problem.startswith(f"{path}: cannot be read: {os.strerror(errno.EACCES)}.")
    assert collect_workspace(folders.root, delete=True) == ()


def refuse_reading_of(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    read = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
