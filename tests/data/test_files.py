from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import chunks, collect, content, files
from bakeoff.data.folders import list_folder
from bakeoff.data.source import DataSource
from bakeoff.data.store import describe, open_test, open_training
from bakeoff.errors import DataError


class OpenedFiles:
    """Paths of all files opened through Python while it watches (an audit hook cannot be removed, only muted)."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.is_watching = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.is_watching and event == "open":
            self.paths.append(str(arguments[0]))


WATCHER = OpenedFiles()


@pytest.fixture
def opened():
    WATCHER.paths.clear()
    WATCHER.is_watching = True
    yield WATCHER.paths
    WATCHER.is_watching = False


def read_all(root: Path, source: DataSource, part: str) -> list[tuple[str, np.ndarray]]:
    """Return class and pixels of a part's files, read one by one."""
    return [(file.class_name, np.asarray(Image.open(file.path))) for file in files.list_source(source).select(part)]


def test_images_are_the_files_memory_mapped(write_pictures) -> None:
    root = write_pictures({"cat": 7, "dog": 5, "owl": 9})
    source = DataSource(folder=str(root))
    images, test = open_training(source), open_test(source)
    assert (len(images.labels), len(test.labels)) == (17, 4)
    assert images.shape_HWC == (5, 6, 1)
    assert isinstance(images.pixels, np.memmap)
    assert images.class_names == test.class_names == ("cat", "dog", "owl")
    assert (images.own_validation, images.notes) == (None, ())
    for part, opened_images in (("train", images), ("test", test)):
        for (name, pixels), stored, label in zip(
            read_all(root, source, part), opened_images.pixels, opened_images.labels, strict=True
        ):
            np.testing.assert_array_equal(stored[..., 0], pixels)
            assert images.class_names[label] == name
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0


def test_a_source_is_listed_once_where_that_is_asked_for(write_pictures, monkeypatch) -> None:
    source, listed = DataSource(folder=str(write_pictures({"cat": 7, "dog": 5}))), []
    monkeypatch.setattr(files, "list_folder", lambda *given: listed.append(given) or list_folder(*given))
    with files.list_once():
        first = files.list_source(source)
        assert files.list_source(source) is first
        files.list_source(DataSource(folder=source.folder, subset=0.5))
    assert len(listed) == 1
    assert files.list_source(source) == first
    assert len(listed) == 2, "afterwards a folder may have changed"


def test_training_opens_no_test_file(write_pictures, opened, monkeypatch) -> None:
    monkeypatch.setattr(content, "SETTLED_NS", -(10**12))  # what has only just been written is read once more
    root = write_pictures({"cat": 10, "dog": 10})
    source = DataSource(folder=str(root), test=0.3, duplicates="allow")  # an audit compares all images
    test_paths = {file.path for file in files.list_source(source).select("test")}
    assert len(test_paths) == 6
    opened.clear()
    open_training(source)
    assert len({path for path in opened if path.startswith(str(root))}) == 14
    assert not test_paths & set(opened)
    opened.clear()
    open_test(source)
    assert {path for path in opened if path.startswith(str(root))} == test_paths


def test_training_opens_nothing_of_a_test_folder(write_pictures, opened) -> None:
    for part in ("train", "val", "test"):
        write_pictures(folder=f"pets/{part}")
    root = write_pictures({"cat": 2, "dog": 3}, folder="pets/val").parent
    opened.clear()
    images = open_training(DataSource(folder=str(root), duplicates="allow"))
    assert "train/cat/000.png" in " ".join(opened)
    assert not [path for path in opened if "pets/test" in path]
    assert len(images.labels) == 20
    np.testing.assert_array_equal(images.own_validation, np.arange(10, 20))
    assert len(open_test(DataSource(folder=str(root))).labels) == 10


def test_the_test_split_does_not_depend_on_classes_or_subset(write_pictures) -> None:
    root = write_pictures(dict.fromkeys(("ant", "bee", "cat", "dog"), 10))
    whole = {file.shown for file in files.list_source(DataSource(folder=str(root))).select("test")}
    part = DataSource(folder=str(root), classes=("dog", "bee"), subset=0.5)
    listing = files.list_source(part)
    assert {file.shown for file in listing.select("test")} == {
        shown for shown in whole if shown.startswith(("bee", "dog"))
    }
    assert len(listing.select("train")) == 8
    images, test = open_training(part), open_test(part)
    assert images.class_names == test.class_names == ("dog", "bee")
    np.testing.assert_array_equal(np.bincount(images.labels), [4, 4])
    np.testing.assert_array_equal(np.bincount(test.labels), [2, 2])


def test_a_smaller_subset_lies_within_a_larger_one(write_pictures) -> None:
    root = write_pictures({"cat": 40, "dog": 20})
    chosen = [
        {file.shown for file in files.list_source(DataSource(folder=str(root), subset=share)).select("train")}
        for share in (0.1, 0.5)
    ]
    assert chosen[0] < chosen[1]
    assert [len(part) for part in chosen] == [3 + 2, 16 + 8]


def test_decodes_once_and_again_when_a_file_changes(write_pictures, monkeypatch) -> None:
    root = write_pictures()
    source = DataSource(folder=str(root))
    first = open_training(source)
    with monkeypatch.context() as patch:
        patch.setattr(collect, "collect_images", None)
        assert open_training(source).fingerprint == first.fingerprint
    changed = files.list_source(source).select("train")[0].path
    Image.fromarray(np.zeros((5, 6), dtype=np.uint8)).save(changed)
    assert open_training(source).fingerprint != first.fingerprint


def test_the_fingerprint_is_of_the_content(write_pictures, tmp_path: Path) -> None:
    root = write_pictures()
    first = open_training(DataSource(folder=str(root)))
    shutil.copytree(root, tmp_path / "copy")
    assert open_training(DataSource(folder=str(tmp_path / "copy"))).fingerprint == first.fingerprint


def test_one_coloured_image_makes_all_colour(write_pictures) -> None:
    root = write_pictures({"cat": 10, "dog": 10})
    source = DataSource(folder=str(root))
    coloured = files.list_source(source).select("train")[5].path
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(coloured)
    images = open_training(source)
    assert images.shape_HWC == (5, 6, 3)
    np.testing.assert_array_equal(images.pixels[5], pixels)
    for (_, expected), stored in zip(read_all(root, source, "train"), images.pixels, strict=True):
        np.testing.assert_array_equal(stored, expected if expected.ndim == 3 else np.dstack([expected] * 3))
    assert open_test(source).shape_HWC == (5, 6, 3)
    assert open_training(DataSource(folder=str(root), colour="grey")).shape_HWC == (5, 6, 1)


def test_many_images_cross_the_chunks(write_pictures, monkeypatch) -> None:
    monkeypatch.setattr(collect, "CHUNK_FILES", 3)
    monkeypatch.setattr(chunks, "_BLOCK_BYTES", 100)
    test_one_coloured_image_makes_all_colour(write_pictures)


def test_different_sizes_are_refused_or_resized(write_pictures) -> None:
    write_pictures({"cat": 10, "dog": 10})
    root = write_pictures({"owl": 10}, size=(9, 9))
    with pytest.raises(DataError, match=r"6x5 \(cat/.*9x9 \(owl/.*image_size: 5"):
        open_training(DataSource(folder=str(root)))
    images = open_training(DataSource(folder=str(root), image_size=8))
    assert images.shape_HWC == (8, 8, 1)
    (note,) = images.notes
    assert note.startswith("resized to 8x8 (bilinear) ")
    assert " 2 " in note


def test_test_images_are_brought_to_what_training_images_are(write_pictures) -> None:
    write_pictures(folder="pets/train")
    root = write_pictures(folder="pets/test", size=(12, 10), mode="RGB").parent
    test = open_test(DataSource(folder=str(root)))
    assert test.shape_HWC == (5, 6, 1)
    assert re.match(r"10 test images .*grey.*: test/cat/000.png", test.notes[0])
    assert test.notes[1].startswith("resized to 6x5 (bilinear) ")


def test_a_class_without_test_images_is_taken(write_pictures) -> None:
    write_pictures(folder="pets/train")
    root = write_pictures({"dog": 3}, folder="pets/test").parent
    test = open_test(DataSource(folder=str(root)))
    np.testing.assert_array_equal(test.labels, [1, 1, 1])
    (note,) = test.notes
    assert note.endswith(" cat")


def test_manifests(write_pictures, tmp_path: Path) -> None:
    root = write_pictures({"a": 3, "b": 3})
    lines = ["path,label,split"] + [
        f"pets/{folder}/00{number}.png,{label},{split}"
        for folder, label in (("a", "cat"), ("b", "dog"))
        for number, split in enumerate(("train", "val", "test"))
    ]
    (tmp_path / "all.csv").write_text("\n".join(lines))
    source = DataSource(manifest=str(tmp_path / "all.csv"))
    images, test = open_training(source), open_test(source)
    np.testing.assert_array_equal(images.labels, [0, 1, 0, 1])
    np.testing.assert_array_equal(images.own_validation, [2, 3])
    np.testing.assert_array_equal(test.pixels[1, ..., 0], np.asarray(Image.open(root / "b/002.png")))
    assert images.own_validation.flags.writeable is False


def test_own_validation_is_part_of_the_fingerprint(write_pictures, tmp_path: Path) -> None:
    write_pictures({"a": 4, "b": 4})
    prints = set()
    for second in ("train", "val"):
        rows = [f"pets/{name}/00{n}.png,{name},{split}" for name in "ab" for n, split in enumerate(["train", "test"])]
        rows += [f"pets/b/002.png,b,{second}"]
        (tmp_path / "all.csv").write_text("\n".join(["path,label,split", *rows]))
        images = open_training(DataSource(manifest=str(tmp_path / "all.csv")))
        prints.add(images.fingerprint)
    assert len(prints) == 2


def test_paths_are_looked_for_here_then_in_the_data_folders(write_pictures, tmp_path: Path, monkeypatch) -> None:
    root = write_pictures()
    source = DataSource(folder="pets")
    monkeypatch.chdir("/")
    with pytest.raises(DataError, match=r"pets.* /pets, "):
        files.locate_path(source)
    assert files.locate_path(source, tmp_path) == root
    monkeypatch.setenv("BAKEOFF_DATA", str(tmp_path))
    assert files.locate_path(source) == root
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root, tmp_path / "elsewhere/pets")
    assert files.locate_path(source, tmp_path / "elsewhere") == root
    with pytest.raises(DataError, match="as folder"):
        files.locate_path(DataSource(manifest="pets"))
    with pytest.raises(DataError, match=r"folder a\\x00b"):
        files.locate_path(DataSource(folder="a\0b"))


def test_described_once_decoded(write_pictures) -> None:
    source = DataSource(folder=str(write_pictures()))
    assert describe(source) is None
    assert describe(DataSource(folder="nowhere")) is None
    open_training(source)
    facts = describe(source)
    assert (facts.shape_HWC, facts.num_classes, facts.num_train) == ((5, 6, 1), 2, 8)
    assert facts.class_names == ("cat", "dog")


def test_unknown_classes_and_lone_images(write_pictures) -> None:
    root = write_pictures({"cat": 5, "dog": 1})
    with pytest.raises(DataError, match=r"'dog' .*one image"):
        open_training(DataSource(folder=str(root)))
    shutil.copy(root / "cat/000.png", root / "dog/more.png")
    with pytest.raises(DataError, match=r"'dgo'.*'dog'\?.* cat, dog"):
        open_training(DataSource(folder=str(root), classes=("cat", "dgo")))


def test_cache_names_hold_no_strange_characters(write_pictures, cache: Path) -> None:
    root = write_pictures(folder="pets;\n rm -rf 猫")
    open_training(DataSource(folder=str(root)))
    (name,) = [path.name for path in (cache / "decoded").iterdir() if path.is_dir()]
    assert name.startswith("pets_n_rm_-rf_-train-")
    assert os.sep not in name


def test_files_are_named_also_if_an_earlier_version_decoded_them(write_pictures) -> None:
    source = DataSource(folder=str(write_pictures({"cat": 7, "dog": 5})))
    named = open_training(source).files
    assert named == tuple(file.shown for file in files.list_source(source).select("train"))
    folder = Path(open_training(source).pixels.filename).parent
    meta = folder / "meta.json"
    meta.write_text(meta.read_text().replace('"has_files": true', '"has_files": false'))
    assert open_training(source).files == named


@pytest.mark.parametrize(
    ("size", "mode", "settings", "expected"),
    [
        ((6, 5), "L", {}, ("3ee68f5be58f6c98", "4e1e3bf7281077ff")),
        ((12, 12), "RGB", {"image_size": 8}, ("358e2555a9c407da", "650ce6dfe0d51ee8")),
        ((9, 6), "RGB", {"image_size": (4, 6)}, ("43d0c251fcb19451", "b78e860f71ddc36a")),
        ((9, 6), "RGB", {"image_size": 8, "fit": "stretch"}, ("69ed2a575d7752e8", "0d8aa44ca9a39a87")),
    ],
)
def test_fingerprints_are_those_of_the_first_decoder(write_pictures, size, mode, settings, expected) -> None:
    """Of images of the target's aspect ratio that no reduced scale touches; expected: what commit 2a15b97 gave."""
    source = DataSource(folder=str(write_pictures(size=size, mode=mode)), duplicates="allow", **settings)
    assert (open_training(source).fingerprint[:16], open_test(source).fingerprint[:16]) == expected
