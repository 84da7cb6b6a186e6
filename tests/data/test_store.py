from __future__ import annotations

import errno
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import bakeoff.data
from bakeoff.data import digits, store
from bakeoff.data.decode import Decoded
from bakeoff.data.source import DataSource
from bakeoff.data.store import compute_fingerprint, describe, open_test, open_training
from bakeoff.errors import DataError

SOURCE = str(Path(bakeoff.data.__file__).parents[2])


class OpenedFiles:
    """Names of all files opened through Python while it watches (an audit hook cannot be removed, only muted)."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.is_watching = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.is_watching and event == "open":
            self.names.append(os.path.basename(str(arguments[0])))


WATCHER = OpenedFiles()


@pytest.fixture
def opened():
    WATCHER.names.clear()
    WATCHER.is_watching = True
    yield WATCHER.names
    WATCHER.is_watching = False


def test_images_are_a_shared_read_only_map(small, write_mnist) -> None:
    written = write_mnist()
    images = open_training("mnist", written.root)
    np.testing.assert_array_equal(images.pixels, written.pixels["train"])
    np.testing.assert_array_equal(images.labels, written.labels["train"])
    assert isinstance(images.pixels, np.memmap)
    assert images.pixels.dtype == np.uint8
    assert images.labels.dtype == np.int64
    assert images.class_names == tuple("0123456789")
    for array in (images.pixels, images.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_decodes_once(small, write_mnist, monkeypatch) -> None:
    root = write_mnist().root
    first = open_training("mnist", root)
    monkeypatch.setattr(store, "decode_split", None)
    assert open_training("mnist", root).fingerprint == first.fingerprint


def test_changed_files_are_decoded_again(small, write_mnist, idx) -> None:
    root = write_mnist().root
    first = open_training("mnist", root)
    (root / "MNIST/raw/train-labels-idx1-ubyte").write_bytes(idx(np.full(20, 3, dtype=np.uint8)))
    second = open_training("mnist", root)
    assert second.fingerprint != first.fingerprint
    np.testing.assert_array_equal(second.labels, 3)


def test_the_fingerprint_is_of_the_content_not_of_the_files(small, write_mnist, write_cifar, tmp_path: Path) -> None:
    raw = write_mnist(root=tmp_path / "raw").root
    zipped = write_mnist(root=tmp_path / "zipped", zipped=True).root
    assert open_training("mnist", raw).fingerprint == open_training("mnist", zipped).fingerprint
    assert open_training("mnist", raw).fingerprint != open_test("mnist", raw).fingerprint


def test_the_fingerprint_sees_pixels_labels_names_and_shape() -> None:
    pixels, labels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), np.array([0, 1, 0])
    other_pixels = pixels.copy()
    other_pixels[2, 1, 1, 0] ^= 1
    variants = [
        Decoded(pixels=pixels, labels=labels, class_names=("a", "b")),
        Decoded(pixels=other_pixels, labels=labels, class_names=("a", "b")),
        Decoded(pixels=pixels, labels=1 - labels, class_names=("a", "b")),
        Decoded(pixels=pixels, labels=labels, class_names=("b", "a")),
        Decoded(pixels=pixels.reshape(3, 4, 1, 1), labels=labels, class_names=("a", "b")),
    ]
    assert len({compute_fingerprint(decoded) for decoded in variants}) == len(variants)


def test_training_never_opens_the_test_files(small, write_mnist, opened, cache: Path) -> None:
    root = write_mnist().root
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (root / "MNIST/raw" / name).write_bytes(b"not IDX at all")
    opened.clear()
    open_training("mnist", root)
    assert "train-images-idx3-ubyte" in opened
    assert not [name for name in opened if name.startswith("t10k")]
    assert [path.name for path in (cache / "decoded").iterdir() if "test" in path.name] == []
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte"):
        open_test("mnist", root)
    assert "t10k-images-idx3-ubyte" in opened


def test_training_never_reads_the_test_member_of_an_archive(small, write_cifar, monkeypatch) -> None:
    root = write_cifar("cifar10", archived=True).root
    touched = []
    original = tarfile.TarFile.extractfile
    monkeypatch.setattr(
        tarfile.TarFile, "extractfile", lambda self, member: touched.append(member.name) or original(self, member)
    )
    open_training("cifar10", root)
    assert touched == [f"cifar-10-batches-bin/data_batch_{n}.bin" for n in range(1, 6)]
    open_test("cifar10", root)
    assert touched[5:] == ["cifar-10-batches-bin/test_batch.bin"]


def test_training_on_digits_keeps_no_test_image(cache: Path, monkeypatch) -> None:
    read_digits = digits.read_digits

    def refuse_test(split: str):
        assert split == "train", "the test source was read"
        return read_digits(split)

    monkeypatch.setattr(digits, "read_digits", refuse_test)
    images = open_training("digits")
    assert len(images.pixels) == 1438
    assert [path.name for path in (cache / "decoded").glob("*-test-*")] == []
    test = np.setdiff1d(np.arange(1797), _train_indices())
    kept = {image.tobytes() for image in images.pixels}
    source = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    assert not [number for number in test if source[number].tobytes() in kept]
    with pytest.raises(AssertionError, match="the test source was read"):
        open_test("digits")


def _train_indices():
    return digits.split_stratified(load_digits().target, digits.TEST_FRACTION, digits.TEST_SEED)[0]


def test_a_missing_test_split_stops_the_exam_only(small, write_mnist) -> None:
    root = write_mnist().root
    for path in (root / "MNIST/raw").glob("t10k*"):
        path.unlink()
    assert len(open_training("mnist", root).labels) == 20
    with pytest.raises(DataError, match="the test files in"):
        open_test("mnist", root)


def test_a_kill_leaves_nothing_half(small, write_mnist, monkeypatch, cache: Path) -> None:
    root = write_mnist().root
    program = (
        "import dataclasses, os, pathlib, sys\n"
        "from bakeoff.data import cache, registry, store\n"
        "records = [dataclasses.replace(r, num_train=20, num_test=10) for r in registry.DATASETS]\n"
        "registry.DATASETS = registry.Registry('dataset', records)\n"
        "cache.rename = lambda *_: os._exit(9)\n"
        "store.open_training('mnist', pathlib.Path(sys.argv[1]))\n"
    )
    environment = {"PYTHONPATH": SOURCE, "BAKEOFF_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", program, str(root)], env=environment)
    assert done.returncode == 9
    assert len(list((cache / "decoded").glob("*.part-*"))) == 1
    assert len(open_training("mnist", root).labels) == 20
    assert list((cache / "decoded").glob("*.part-*")) == []


def test_a_damaged_cache_is_decoded_again(small, write_mnist, cache: Path) -> None:
    root = write_mnist().root
    before = open_training("mnist", root).fingerprint
    for damaged in ("pixels.npy", "labels.npy", "meta.json"):
        path = next((cache / "decoded").glob(f"mnist-train-*/{damaged}"))
        path.write_bytes(path.read_bytes()[:40])
        assert open_training("mnist", root).fingerprint == before
        assert len(open_training("mnist", root).pixels) == 20


def test_several_processes_open_at_once(cache: Path) -> None:
    program = "from bakeoff.data.store import open_training; print(open_training('digits').fingerprint)"
    environment = {"PYTHONPATH": SOURCE, "BAKEOFF_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert printed == {open_training("digits").fingerprint}
    assert len([path for path in (cache / "decoded").iterdir() if path.is_dir()]) == 1


def test_an_unwritable_cache_is_named(small, write_mnist, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"mnist .*BAKEOFF_CACHE"):
        open_training("mnist", write_mnist().root)


def test_a_full_disk_is_named_and_leaves_nothing(small, write_mnist, monkeypatch, cache: Path) -> None:
    def fill(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = write_mnist().root
    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(DataError, match="No space left"):
        open_training("mnist", root)
    assert [path for path in (cache / "decoded").iterdir() if path.is_dir()] == []


def test_a_read_only_cache_that_holds_the_images_serves_them(small, write_mnist, monkeypatch) -> None:
    root = write_mnist().root
    open_training("mnist", root)

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert len(open_training("mnist", root).labels) == 20


def test_a_part_of_the_classes_is_relabelled_in_the_order_given(small, write_mnist) -> None:
    written = write_mnist()
    source = DataSource(name="mnist", classes=("7", "2"))
    for split, images in (("train", open_training(source, written.root)), ("test", open_test(source, written.root))):
        labels = written.labels[split]
        expected = written.pixels[split][(labels == 7) | (labels == 2)]
        np.testing.assert_array_equal(images.pixels, expected)
        np.testing.assert_array_equal(images.labels, np.tile([1, 0], len(expected) // 2))
        assert images.class_names == ("7", "2")
        assert isinstance(images.pixels, np.memmap)


def test_a_subset_is_stratified_repeatable_and_of_training_images_only(small, write_mnist) -> None:
    root = write_mnist().root
    source = DataSource(name="mnist", subset=0.5)
    images = open_training(source, root)
    np.testing.assert_array_equal(np.bincount(images.labels), np.ones(10))
    assert images.fingerprint == open_training(source, root).fingerprint
    assert images.fingerprint != open_training("mnist", root).fingerprint
    assert open_test(DataSource(name="digits", subset=0.1)).fingerprint == open_test("digits").fingerprint


def test_a_subset_holds_the_same_images_of_a_class_whatever_else_is_taken() -> None:
    whole = open_training(DataSource(name="digits", subset=0.1))
    part = open_training(DataSource(name="digits", subset=0.1, classes=("8", "3")))
    np.testing.assert_array_equal(part.pixels[part.labels == 0], whole.pixels[whole.labels == 8])
    counts = np.bincount(open_training("digits").labels)
    np.testing.assert_array_equal(np.bincount(whole.labels), np.rint(counts * 0.1))


def test_described_by_the_registry(tmp_path: Path) -> None:
    facts = describe(DataSource(name="mnist", classes=("7", "2"), subset=0.1), tmp_path)
    assert (facts.shape_HWC, facts.num_classes, facts.class_names) == ((28, 28, 1), 2, ("7", "2"))
    assert facts.num_train == 1200
    assert describe("cifar100").num_train == 50_000
    with pytest.raises(DataError, match=r"cifar10 .*'dogg'.*'dog'"):
        describe(DataSource(name="cifar10", classes=("cat", "dogg")))
    with pytest.raises(DataError, match=r"'mnist'\?"):
        describe("mnits")
