from __future__ import annotations

import dataclasses
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import registry
from bakeoff.data.registry import find_dataset
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.errors import DataError
from bakeoff.registry import Registry

PARTS = {"balanced": 47, "byclass": 62, "bymerge": 47, "letters": 26, "digits": 10, "mnist": 10}
SIZES = {"train": 130, "test": 70}


@pytest.fixture
def write_emnist(tmp_path: Path, idx, monkeypatch) -> Callable[..., tuple[Path, dict]]:
    """Writes one EMNIST as published: a zip archive of gzipped, transposed IDX files; or extracted below a folder."""
    records = tuple(
        dataclasses.replace(record, num_train=SIZES["train"], num_test=SIZES["test"], files=())
        for record in registry.DATASETS
    )
    monkeypatch.setattr(registry, "DATASETS", Registry("dataset", records))

    def write(part: str, *, folder: str | None = None, zipped: bool = True) -> tuple[Path, dict]:
        expected, members = {}, {}
        for seed, (split, count) in enumerate(SIZES.items()):
            upright = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = (np.arange(count) % PARTS[part]).astype(np.uint8)
            expected[split] = (upright, labels)
            stem = f"emnist-{part}-{split}"
            members[f"{stem}-images-idx3-ubyte"] = idx(upright.transpose(0, 2, 1))
            members[f"{stem}-labels-idx1-ubyte"] = idx(labels + (part == "letters"))
        root = tmp_path / "data"
        if folder is None:
            (root / "EMNIST/raw").mkdir(parents=True)
            with zipfile.ZipFile(root / "EMNIST/raw/gzip.zip", "w") as archive:
                for name, content in members.items():
                    archive.writestr(f"gzip/{name}.gz", gzip.compress(content))
            return root, expected
        (root / folder).mkdir(parents=True)
        for name, content in members.items():
            path = root / folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
        return root, expected

    return write


def check(part: str, root: Path, expected: dict) -> None:
    for split, opener in (("train", open_training), ("test", open_test)):
        images = opener(f"emnist-{part}", root)
        np.testing.assert_array_equal(images.pixels[..., 0], expected[split][0])
        np.testing.assert_array_equal(images.labels, expected[split][1])
        assert len(images.class_names) == PARTS[part]


@pytest.mark.parametrize("part", PARTS)
def test_read_from_inside_the_publishers_archive(write_emnist, part) -> None:
    check(part, *write_emnist(part))


@pytest.mark.parametrize(
    ("folder", "zipped"), [("EMNIST/raw", False), ("EMNIST/raw", True), ("gzip", True), ("EMNIST/gzip", True)]
)
def test_read_where_others_extract_it(write_emnist, folder, zipped) -> None:
    check("letters", *write_emnist("letters", folder=folder, zipped=zipped))


def test_training_reads_no_test_member(write_emnist, monkeypatch) -> None:
    root, _ = write_emnist("balanced")
    touched = []
    original = zipfile.ZipFile.open
    monkeypatch.setattr(
        zipfile.ZipFile, "open", lambda self, name, *rest: touched.append(name) or original(self, name, *rest)
    )
    open_training("emnist-balanced", root)
    assert touched == [f"gzip/emnist-balanced-train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]


def test_class_names_are_the_publishers() -> None:
    merged = find_dataset("emnist-balanced").class_names
    # emnist-balanced-mapping.txt: label 10 is code 65, 35 is 90, 36 is 97, 46 is 116.
    assert [merged[label] for label in (0, 9, 10, 35, 36, 37, 38, 43, 46)] == list("09AZabdnt")
    byclass = find_dataset("emnist-byclass").class_names
    assert [byclass[label] for label in (9, 10, 36, 61)] == list("9Aaz")
    assert find_dataset("emnist-letters").class_names[0] == "A"


def test_the_36_characters_of_balanced(write_emnist) -> None:
    root, expected = write_emnist("balanced")
    chosen = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    images = open_training(DataSource(name="emnist-balanced", classes=chosen), root)
    is_taken = expected["train"][1] < 36
    np.testing.assert_array_equal(images.pixels[..., 0], expected["train"][0][is_taken])
    np.testing.assert_array_equal(images.labels, expected["train"][1][is_taken])


def test_damaged_archives_are_named(write_emnist) -> None:
    root, _ = write_emnist("digits")
    archive = root / "EMNIST/raw/gzip.zip"
    with pytest.raises(DataError, match=r"gzip/emnist-letters-train-images-idx3-ubyte\.gz"):
        open_training("emnist-letters", root)
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-2000])
    with pytest.raises(DataError, match=r"gzip\.zip: .*(truncated|damaged)"):
        open_training("emnist-digits", root)
    archive.write_bytes(whole[:5000] + bytes(200) + whole[5200:])
    with pytest.raises(DataError, match=r"gzip\.zip: .*(truncated|damaged)"):
        open_training("emnist-digits", root)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("gzip/emnist-digits-train-images-idx3-ubyte.gz", gzip.compress(b"no IDX"))
    with pytest.raises(DataError, match="3 dimensions"):
        open_training("emnist-digits", root)
