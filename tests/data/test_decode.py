from __future__ import annotations

import numpy as np
import pytest

from bakeoff.data.decode import decode_split
from bakeoff.data.locate import find_split
from bakeoff.data.registry import find_dataset
from bakeoff.errors import DataError


def decode(name, split, root):
    record = find_dataset(name)
    return decode_split(record, split, find_split(record, split, root))


def check(written, name) -> None:
    for split in ("train", "test"):
        decoded = decode(name, split, written.root)
        assert decoded.labels.dtype == np.int64
        np.testing.assert_array_equal(decoded.pixels, written.pixels[split])
        np.testing.assert_array_equal(decoded.labels, written.labels[split])


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(small, write_mnist, zipped) -> None:
    check(write_mnist(zipped=zipped), "mnist")


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(small, write_cifar, name, archived) -> None:
    check(write_cifar(name, archived=archived), name)


@pytest.mark.parametrize("archived", [False, True])
def test_fine_names_come_from_the_publishers_file(small, write_cifar, archived) -> None:
    root = write_cifar("cifar100", archived=archived).root
    assert decode("cifar100", "train", root).class_names == tuple(f"fine{n}" for n in range(100))


def test_fine_names_are_built_in_where_the_file_is_absent(small, write_cifar) -> None:
    root = write_cifar("cifar100").root
    (root / "cifar-100-binary/fine_label_names.txt").unlink()
    assert decode("cifar100", "train", root).class_names == find_dataset("cifar100").class_names


def test_a_label_out_of_range_is_named(small, write_mnist, idx) -> None:
    root = write_mnist().root
    labels = np.zeros(20, dtype=np.uint8)
    labels[3] = 10
    (root / "MNIST/raw/train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: image 3 has label 10.*classes 0 to 9"):
        decode("mnist", "train", root)


def test_another_number_of_images_is_refused(write_mnist) -> None:
    root = write_mnist().root
    with pytest.raises(DataError, match=r"has 20 x 28 x 28 values, expected 60,000 x 28 x 28"):
        decode("mnist", "train", root)
