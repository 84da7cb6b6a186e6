"""Files between a workspace and a worker elsewhere: what is packed, what is noticed, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.driver.executors.file_transfer import Outbox, pack_inputs, unpack
from bakeoff.errors import WorkspaceError
from bakeoff.messages import CohortTask, DataView, FinalTestTask, Member
from bakeoff.workspace import Folders

VIEW = DataView(source=DataSource(name="digits"), validation=0.2, fingerprint="f", seed=1)


def make_members(transfer: object = None) -> tuple[Member, ...]:
    recipe = Recipe.model_validate({"network": "cnn", **({"transfer": transfer} if transfer else {})})
    return tuple(Member(trial_id=name, recipe=recipe) for name in ("aa11", "bb22"))


def write(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def pack_cohort(folders: Folders, members: tuple[Member, ...]) -> dict[str, bytes]:
    task = CohortTask(
        cohort_id="own", label="", members=members, data=VIEW, numeric="float32", resume_from=("parent", "missing")
    )
    return pack_inputs(task, folders)


def test_a_cohort_takes_its_checkpoints_along(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for name in ("own", "parent", "stranger"):
        write(folders.checkpoint(name), name.encode())
    assert pack_cohort(folders, make_members()) == {
        "cohorts/own.safetensors": b"own",
        "cohorts/parent.safetensors": b"parent",
    }


def test_and_the_weights_its_members_start_from_each_once(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    write(folders.weights("ccdd33"))
    assert list(pack_cohort(folders, make_members({"weights": {"trial": "ccdd33"}}))) == [
        "trials/cc/ccdd33/weights.safetensors"
    ]
    digest = "0" * 64
    write(folders.copied_weights(digest, ".safetensors"))
    assert list(pack_cohort(folders, make_members({"weights": {"file": "w.safetensors", "sha256": digest}}))) == [
        f"weights/{digest}.safetensors"
    ]


def test_an_exam_takes_the_weights_of_its_members(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    write(folders.weights("aa11"))
    task = FinalTestTask(final_test_id="e", label="", members=make_members(), data=VIEW, numeric="float32")
    assert list(pack_inputs(task, folders)) == ["trials/aa/aa11/weights.safetensors"]


def test_what_is_unpacked_is_what_was_packed(tmp_path: Path) -> None:
    parcel = {"cohorts/own.safetensors": b"\0\1", "trials/aa/aa11/test.npz": b""}
    unpack(parcel, tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.*")} == parcel


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/outside", "", "C:outside", "a\\..\\outside"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkspaceError, match="outside the workspace"):
        unpack({"inside": b"x", name: b"x"}, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_the_outbox_sees_what_is_new_and_what_was_replaced(tmp_path: Path) -> None:
    write(tmp_path / "input")
    outbox = Outbox(tmp_path)
    assert outbox.collect() == {}
    write(tmp_path / "cohorts" / "a", b"1")
    write(tmp_path / "cohorts" / "a.12.part", b"half")
    assert outbox.collect() == {"cohorts/a": b"1"}
    assert outbox.collect() == {}
    write(tmp_path / "new", b"2").replace(tmp_path / "cohorts" / "a")
    assert outbox.collect() == {"cohorts/a": b"2"}
    (tmp_path / "cohorts" / "a").unlink()
    assert outbox.collect() == {}
