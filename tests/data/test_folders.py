from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from bakeoff.data.folders import list_folder
from bakeoff.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"never opened")
    return root


def summarise(listing) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for file in listing.files:
        parts.setdefault(file.part, []).append(f"{file.class_name}:{file.shown}")
    return parts


def test_class_folders_and_what_is_nested_in_them(tmp_path: Path) -> None:
    touch(tmp_path, "dog/b.JPG", "cat/x/y/a.png", "cat/c.webp", "dog/a.jpeg", "cat/.hidden.png", ".git/a.png")
    touch(tmp_path, "__MACOSX/cat/._c.png", "cat/notes.txt", "cat/labels")
    listing = list_folder(tmp_path)
    assert summarise(listing) == {"train": ["cat:cat/c.webp", "cat:cat/x/y/a.png", "dog:dog/a.jpeg", "dog:dog/b.JPG"]}
    assert listing.class_names == ("cat", "dog")
    assert not listing.has_test
    assert listing.notes == ("2 files are not images and are left out: .txt 1, no suffix 1",)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "Validation", "TEST")],
)
def test_parts(tmp_path: Path, train, validation, test) -> None:
    touch(tmp_path, *(f"{part}/{name}/1.png" for part in (train, validation, test) for name in ("cat", "dog")))
    listing = list_folder(tmp_path)
    assert Counter(file.part for file in listing.files) == {"train": 2, "validation": 2, "test": 2}
    assert listing.has_test


def test_a_test_folder_without_classes_is_not_used_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")
    listing = list_folder(tmp_path)
    assert not listing.has_test
    assert "test has 2 images and no class folders: it is not used" in listing.notes[0]


def test_images_beside_the_class_folders_and_folders_beside_the_parts_are_said(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/1.png", "train/dog/1.png", "train/loose.png", "extra/cat/1.png")
    notes = list_folder(tmp_path).notes
    assert any("1 images beside the class folders are left out: loose.png" in note for note in notes)
    assert any("beside the train folder" in note and "extra" in note for note in notes)


def test_links_back_up_broken_links_and_pipes_are_said(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat/up").symlink_to(tmp_path / "cat")
    (tmp_path / "cat/gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "dog/pipe.png")
    listing = list_folder(tmp_path)
    assert summarise(listing)["train"] == ["cat:cat/1.png", "dog:dog/1.png"]
    assert {(item.shown, item.reason) for item in listing.rejected} == {
        ("cat/gone.png", "broken link"),
        ("dog/pipe.png", "not a file"),
    }
    assert "links to folders listed elsewhere are not followed: cat/up" in listing.notes


def test_names_are_cleaned(tmp_path: Path) -> None:
    touch(tmp_path, "cafe\u0301/1.png", "a\x1bb/1.png", os.fsdecode(b"c\xff/1.png"))
    assert list_folder(tmp_path).class_names == ("a\\x1bb", "c\\udcff", "caf\u00e9")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "has no class folders: it contains no folders"),
        (("1.png", "2.png"), "has no class folders: it contains 2 images directly"),
        (("data/cat/1.png", "data/dog/1.png"), "only one class folder, data; .* name that folder"),
        (("cat/1.png", "dog/notes.txt"), r"dog has no images, but counts as a class"),
        (("cat/1.png", "Cat/1.png"), "'Cat' and 'cat' differ only in upper and lower case"),
        (("test/cat/1.png", "cat/1.png"), "has test but no train folder"),
        (("train/cat/1.png", "training/cat/1.png"), "two train folders"),
        (("train/cat/1.png", "train/dog/1.png", "test/dgo/1.png"), "'dgo' .* no training images. Did you mean 'dog'"),
        (("train/cat/1.png", "test/cat/1.png"), "only one class, 'cat'"),
    ],
)
def test_refuses(tmp_path: Path, names, message) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        list_folder(tmp_path)


def test_cases_that_are_meant_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "A/1.png", "b/1.png")
    assert list_folder(tmp_path, ("A", "a")).class_names == ("A", "a", "b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat").chmod(0)
    try:
        with pytest.raises(DataError, match=r"cat cannot be read: Permission denied"):
            list_folder(tmp_path)
    finally:
        (tmp_path / "cat").chmod(0o755)
