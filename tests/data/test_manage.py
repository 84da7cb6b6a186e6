from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import registry
from bakeoff.data.files import list_source
from bakeoff.data.manage import find_source, get, measure_pixels, show, verify
from bakeoff.data.registry import find_dataset
from bakeoff.data.source import DataSource
from bakeoff.errors import DataError
from bakeoff.registry import Registry


@pytest.fixture
def publish_archive(small, server, write_cifar, monkeypatch):
    """Offer a small CIFAR-10 archive with its right checksum."""
    written = write_cifar("cifar10", archived=True)
    archive = written.root / "cifar-10-binary.tar.gz"
    file = server.publish(archive.name, archive.read_bytes())
    archive.unlink()
    record = dataclasses.replace(find_dataset("cifar10"), files=(file,))
    monkeypatch.setattr(registry, "DATASETS", Registry("dataset", [record]))
    return written


def test_get_downloads_then_finds(publish_archive, tmp_path: Path) -> None:
    first = get("cifar10", tmp_path / "there")
    path = tmp_path / "there/cifar-10-binary.tar.gz"
    assert first.downloaded == first.files == (path,)
    second = get("cifar10", tmp_path / "there")
    assert (second.folder, second.files, second.downloaded) == (tmp_path / "there", (path,), ())


def test_get_digits_needs_nothing() -> None:
    obtained = get("digits")
    assert (obtained.folder, obtained.files, obtained.downloaded) == (None, (), ())


def test_verify_checks_an_archive_against_its_checksum_and_content(publish_archive, tmp_path: Path) -> None:
    path = get("cifar10", tmp_path).files[0]
    checks = verify("cifar10", tmp_path)
    assert [(check.check, check.ok) for check in checks] == [("checksum", True), ("content", True), ("content", True)]
    assert hashlib.md5(path.read_bytes()).hexdigest() in checks[0].detail
    for fact in ("20 train images", "32x32x3", "10 classes"):
        assert fact in checks[1].detail
    path.write_bytes(path.read_bytes()[:-3000])
    checks = verify("cifar10", tmp_path)
    assert not checks[0].ok
    assert "expected md5" in checks[0].detail
    assert "truncated" in checks[2].detail


def test_verify_checks_raw_files_by_content(small, write_mnist) -> None:
    root = write_mnist().root
    checks = verify("mnist", root)
    assert [(check.check, check.ok) for check in checks] == [("content", True), ("content", True)]
    path = root / "MNIST/raw/t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    train, test = verify("mnist", root)
    assert train.ok
    assert not test.ok
    assert re.search(r"t10k-images-idx3-ubyte .*truncated", test.detail)
    path.unlink()
    assert "not in" in verify("mnist", root)[1].detail


def test_verify_stores_nothing(small, write_mnist, cache: Path) -> None:
    verify("mnist", write_mnist().root)
    assert not cache.exists()


def test_verify_digits() -> None:
    train, test = (check.detail for check in verify("digits"))
    assert train.startswith("1,438 train images of 8x8")
    assert test.startswith("359 test images of 8x8")


def test_verify_what_is_nowhere(small, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist .*bakeoff data get mnist"):
        verify("mnist", tmp_path)


def test_show_tells_the_facts_of_the_training_split(small, write_mnist) -> None:
    written = write_mnist()
    for path in (written.root / "MNIST/raw").glob("t10k*"):
        path.write_bytes(b"never read")
    facts = show("mnist", written.root)
    assert json.loads(json.dumps(facts))["train_images_per_class"] == {str(label): 2 for label in range(10)}
    assert facts["folder"] == str(written.root)
    np.testing.assert_allclose(facts["pixel_mean"], written.pixels["train"].mean() / 255)


def test_pixels_are_measured_per_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    mean, sd = measure_pixels(pixels)
    flat = pixels.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sd, flat.std(axis=0), rtol=1e-12)


def test_a_word_is_a_dataset_a_folder_or_a_manifest(write_pictures, tmp_path: Path, monkeypatch) -> None:
    write_pictures()
    write_pictures(folder="mnist")
    (tmp_path / "all.csv").write_text("path,label\n")
    monkeypatch.chdir(tmp_path)
    assert find_source("mnist") == DataSource(name="mnist")
    assert find_source("./mnist") == DataSource(folder="./mnist")
    assert find_source("all.csv") == DataSource(manifest="all.csv")
    monkeypatch.chdir("/")
    assert find_source("pets", tmp_path) == DataSource(folder="pets")
    with pytest.raises(DataError, match=r"'mnist'\?.*manifest"):
        find_source("mnits")
    with pytest.raises(DataError, match="Unknown dataset"):
        find_source("a\0b")


def test_show_a_folder(write_pictures) -> None:
    root = write_pictures({"cat": 10, "dog": 5})
    bad = list_source(DataSource(folder=str(root))).select("train")[2]
    Path(bad.path).write_bytes(b"")
    facts = show(str(root))
    assert json.loads(json.dumps(facts))["train_images_per_class"] == {"cat": 7, "dog": 4}
    assert (facts["name"], facts["num_train"], facts["num_test"], facts["num_own_validation"]) == ("pets", 11, 3, 0)
    (note,) = facts["notes"]
    assert note.startswith("1 of 12 ")
    assert note.endswith(f": {bad.shown} (empty)")
    assert facts["folder"] == str(root)
    assert get(str(root)).folder == root


def test_show_a_part_of_a_dataset() -> None:
    facts = show(DataSource(name="digits", classes=("3", "8")))
    assert list(facts["train_images_per_class"]) == ["3", "8"]
    assert facts["num_test"] is None
    assert show("digits")["num_test"] == 359


def test_verify_a_folder_reads_every_file_and_stores_nothing(write_pictures, cache: Path) -> None:
    root = write_pictures({"cat": 10, "dog": 5})
    checks = verify(str(root))
    assert [check.ok for check in checks] == [True, True]
    for check, facts in zip(checks, (("12 train", "4 to 8"), ("3 test", "1 to 2")), strict=True):
        assert [fact in check.detail for fact in (*facts, "2 classes")] == [True] * 3
    for number in range(10):
        (root / f"cat/00{number}.png").write_bytes(b"" if number else b"x")
    checks = verify(str(root))
    assert [check.ok for check in checks].count(False) == 12
    assert {check.detail for check in checks if check.file.startswith("cat/") and "000" not in check.file} == {"empty"}
    assert not cache.exists()
