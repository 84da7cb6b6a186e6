"""A disk that is full, at every write, or cannot be written: one clear line, and the next run goes on from there."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bakeoff import api
from bakeoff.api import Study, list_status, load
from bakeoff.driver.doctor import examine
from bakeoff.driver.executors.base import GOES_ON
from bakeoff.errors import BakeoffError
from bakeoff.ledger.store import Ledger
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("in_process")

STUDY = Study.model_validate(
    {
        "question": "?",
        "name": "small",
        "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 3, "batch_size": 256},
        "arms": [{"optimizer.learning_rate": [0.01, 0.1]}],
        "replicates": 2,
        "numeric": "float32",
    }
)
NO_SPACE = os.strerror(errno.ENOSPC)
RESUME = re.escape(GOES_ON)

Compare = Callable[[Path], None]


@pytest.fixture(scope="module")
def end_and_compare(
    cache: Path, read_numbers: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Compare:
    """Return a function that ends the study in a workspace, and finds there what an undisturbed run computed."""
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(cache))
        api.run(STUDY, workspace=undisturbed)
    expected = read_numbers(undisturbed, without=["times_trained"])

    def compare(workspace: Path) -> None:
        assert list(workspace.rglob("*.part")) == []
        assert api.run(STUDY, workspace=workspace).state == "done"
        assert read_numbers(workspace, without=["times_trained"]) == expected
        problems = [finding.text for finding in examine(workspace) if finding.level == "problem"]
        assert [text for text in problems if "GiB free" not in text] == []

    return compare


def fill_disk_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int = errno.ENOSPC) -> list[str]:
    """Have the system refuse, when it is to write a file of this name to the disk; return who met that."""
    flush, refused = os.fsync, list[str]()

    def fail(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if re.search(name, path):
            refused.append(path)
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    return refused


@pytest.mark.skipif(sys.platform != "linux", reason="which file is written is read from /proc")
@pytest.mark.parametrize(
    ("name", "goes_on"),
    [
        (r"cohorts/.*\.safetensors", True),
        (r"weights\.safetensors", True),
        (r"validation\.npz", True),
        (r"test\.npz", True),
        (r"verdict\.md", False),
        (r"report\.html", False),
    ],
    ids=["checkpoint", "weights", "predictions", "predictions of the final test", "verdict", "report"],
)
def test_a_full_disk_at_any_file_is_one_line_and_nothing_is_lost(
    end_and_compare: Compare, tmp_path: Path, name: str, goes_on: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refused = fill_disk_at(patch, name)
        with pytest.raises(BakeoffError) as raised:
            api.run(STUDY, workspace=tmp_path)
    assert 0 < len(refused) == len(set(refused)), "a full disk is not tried again"
    ending = f" {RESUME}" if goes_on else ""
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}/\S*{name}: .*{NO_SPACE}\.{ending}", str(raised.value))
    end_and_compare(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="which file is written is read from /proc")
def test_a_full_disk_below_the_cache_names_the_cache(
    end_and_compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    with pytest.MonkeyPatch.context() as patch:
        fill_disk_at(patch, r"labels\.npy")
        with pytest.raises(BakeoffError) as raised:
            api.run(STUDY, workspace=tmp_path / "runs")
    place = rf"{re.escape(str(tmp_path))}/cache/"
    assert re.fullmatch(rf".*{place}.*{NO_SPACE}.*BAKEOFF_CACHE.*", str(raised.value))
    end_and_compare(tmp_path / "runs")


@pytest.mark.parametrize("num_pages", [0, 1])
def test_a_ledger_that_cannot_grow_is_one_line_and_nothing_is_lost(
    end_and_compare: Compare, tmp_path: Path, num_pages: int
) -> None:
    prepare = Ledger._prepare

    def limit(ledger: Ledger, *arguments: Any) -> None:
        prepare(ledger, *arguments)
        (present,) = ledger.connection.execute("PRAGMA page_count").fetchone()
        ledger.connection.execute(f"PRAGMA max_page_count = {present + num_pages}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_prepare", limit)
        with pytest.raises(BakeoffError) as raised:
            api.run(STUDY, workspace=tmp_path)
    ledger = re.escape(str(Folders(tmp_path).ledger))
    assert re.fullmatch(rf"{ledger}: .*disk is full.* {RESUME}", str(raised.value))
    end_and_compare(tmp_path)


def test_a_ledger_that_becomes_read_only_in_the_middle(end_and_compare: Compare, tmp_path: Path, script: Any) -> None:
    connections: list[sqlite3.Connection] = []

    class Closing(script.Watcher):
        def cohort_started(self, label: str, num_members: int) -> None:
            for connection in connections:
                connection.execute("PRAGMA query_only = ON")

    def keep(ledger: Ledger, folders: Folders) -> None:
        make(ledger, folders)
        connections.append(ledger.connection)

    make = Ledger.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "__init__", keep)
        with pytest.raises(BakeoffError) as raised:
            api.run(STUDY, workspace=tmp_path, observer=Closing())
    ledger = re.escape(str(Folders(tmp_path).ledger))
    assert re.fullmatch(rf"{ledger}: .*readonly.* {RESUME}", str(raised.value))
    end_and_compare(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="which file is written is read from /proc")
def test_a_disk_that_becomes_read_only_in_the_middle(end_and_compare: Compare, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fill_disk_at(patch, r"cohorts/.*\.safetensors", errno.EROFS)
        with pytest.raises(BakeoffError) as raised:
            api.run(STUDY, workspace=tmp_path)
    assert re.fullmatch(rf"\S+: .*{os.strerror(errno.EROFS)}\. {RESUME}", str(raised.value))
    end_and_compare(tmp_path)


# --- real disks -----------------------------------------------------------------------------------------------------


class Disk:
    """A small disk in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("no disk can be mounted here: it takes root, and a system that lets root do so")

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("mounting a disk in memory takes Linux")
    made = Disk(tmp_path / "disk")
    made.folder.mkdir()
    made.mount("size=64m")
    try:
        yield made
    finally:
        made.unmount()


def test_a_small_disk_runs_full_somewhere_and_nothing_is_lost(end_and_compare: Compare, disk: Disk) -> None:
    """Real refusals of a real file system, at whatever write they come."""
    causes = set()
    for number, pages in enumerate((4, 12, 24, 36, 48, 60, 72, 84, 96, 112, 128, 160)):
        workspace = disk.folder / str(number)
        used = shutil.disk_usage(disk.folder).used
        disk.change(f"size={used + pages * 4096}")
        with pytest.raises(
            BakeoffError, match=f"{NO_SPACE}|disk is full|disk I/O error|unable to open database"
        ) as raised:
            api.run(STUDY, workspace=workspace)
        disk.change("size=64m")
        assert "\n" not in str(raised.value)
        causes.add(re.sub(r"\(.*\)|: .*", "", str(raised.value).removeprefix(str(workspace))))
        end_and_compare(workspace)
    assert len(causes) >= 2, causes


def test_a_read_only_workspace_is_not_run_in_but_read(disk: Disk) -> None:
    workspace = disk.folder / "runs"
    api.run(STUDY, workspace=workspace)
    disk.change("ro")
    try:
        with pytest.raises(BakeoffError, match=rf"^{re.escape(str(workspace))}: .*Read-only.*--workspace"):
            api.run(STUDY, workspace=workspace)
        assert load("small", workspace).state == "done"
        assert [each.num_done for each in list_status(workspace)] == [4]
        problems = [finding.text for finding in examine(workspace) if finding.level == "problem"]
        assert problems[0].startswith(f"{workspace} ")
        assert "permissions" in problems[0]
    finally:
        disk.change("rw")
