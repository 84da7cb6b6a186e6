from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff.data
from bakeoff.data.registry import DATASETS, IdxLayout, find_dataset
from bakeoff.errors import DataError

DOWNLOADABLE = [record for record in DATASETS if record.name != "digits"]


NUM_CLASSES = {"cifar100": 100, "emnist-balanced": 47, "emnist-bymerge": 47, "emnist-byclass": 62, "emnist-letters": 26}


def test_registers_every_dataset_once() -> None:
    names = [record.name for record in DATASETS]
    emnist = ["balanced", "byclass", "bymerge", "letters", "digits", "mnist"]
    assert names[:5] == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
    assert names[5:] == [f"emnist-{part}" for part in emnist]


@pytest.mark.parametrize("record", DATASETS, ids=lambda record: record.name)
def test_every_class_has_its_own_name(record) -> None:
    assert record.num_classes == NUM_CLASSES.get(record.name, 10)
    assert len(set(record.class_names)) == record.num_classes


@pytest.mark.parametrize("record", DOWNLOADABLE, ids=lambda record: record.name)
def test_published_files_carry_size_and_checksum(record) -> None:
    assert len(record.files) == (4 if isinstance(record.layout, IdxLayout) else 1)
    for file in record.files:
        algorithm, digest = file.checksum.split(":")
        assert len(digest) == {"md5": 32, "sha256": 64}[algorithm]
        assert file.url.endswith(file.path.rsplit("/", 1)[-1])
        assert file.num_bytes > 1000


def test_unknown_name_lists_the_choices_and_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'fashion_mnist'.*'fashion-mnist'\?.*cifar100"):
        find_dataset("fashion_mnist")


def test_importing_the_room_imports_neither_torch_nor_sklearn() -> None:
    modules = [f"bakeoff.data.{path.stem}" for path in Path(bakeoff.data.__file__).parent.glob("[a-z]*.py")]
    program = f"import sys, {', '.join(modules)}; print({{'torch', 'sklearn', 'scipy', 'rich'}} & set(sys.modules))"
    source = str(Path(bakeoff.data.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
