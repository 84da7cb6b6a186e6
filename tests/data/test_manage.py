from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import registry
from bakeoff.data.manage import get, measure_pixels, show, verify
from bakeoff.data.registry import find_dataset
from bakeoff.errors import DataError


@pytest.fixture
def publish_archive(small, server, write_cifar, monkeypatch):
    """Offer a small CIFAR-10 archive with its right checksum."""
    written = write_cifar("cifar10", archived=True)
    archive = written.root / "cifar-10-binary.tar.gz"
    file = server.publish(archive.name, archive.read_bytes())
    archive.unlink()
    monkeypatch.setattr(registry, "DATASETS", (dataclasses.replace(find_dataset("cifar10"), files=(file,)),))
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
    assert checks[1].detail == "20 train images of 32x32x3, 10 classes of 2 to 2"
    path.write_bytes(path.read_bytes()[:-3000])
    checks = verify("cifar10", tmp_path)
    assert not checks[0].ok
    assert "expected md5" in checks[0].detail
    assert "truncated or damaged" in checks[2].detail


def test_verify_checks_raw_files_by_content(small, write_mnist) -> None:
    root = write_mnist().root
    checks = verify("mnist", root)
    assert [(check.check, check.ok) for check in checks] == [("content", True), ("content", True)]
    path = root / "MNIST/raw/t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    train, test = verify("mnist", root)
    assert train.ok
    assert not test.ok
    assert "t10k-images-idx3-ubyte is truncated" in test.detail
    path.unlink()
    assert "not in" in verify("mnist", root)[1].detail


def test_verify_stores_nothing(small, write_mnist, cache: Path) -> None:
    verify("mnist", write_mnist().root)
    assert not cache.exists()


def test_verify_digits() -> None:
    assert [check.detail[:22] for check in verify("digits")] == ["1,438 train images of ", "359 test images of 8x8"]


def test_verify_what_is_nowhere(small, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist is in none of .*Get it with: bakeoff data get mnist"):
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
