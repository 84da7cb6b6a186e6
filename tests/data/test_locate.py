from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from bakeoff.data.locate import cache_folder, find_home, find_pickled, find_split, search_folders
from bakeoff.data.registry import find_dataset


def test_the_search_order(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search_folders(None) == (cache / "downloads",)
    monkeypatch.setenv("BAKEOFF_DATA", str(tmp_path / "shared"))
    assert search_folders(tmp_path / "mine") == (tmp_path / "mine", tmp_path / "shared", cache / "downloads")


def test_the_cache_is_the_users_own_unless_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAKEOFF_CACHE")
    assert cache_folder() == platformdirs.user_cache_path("bakeoff")


def test_the_first_folder_with_the_training_split_is_home(small, write_mnist, tmp_path: Path, monkeypatch) -> None:
    record = find_dataset("mnist")
    assert find_home(record, tmp_path / "first") is None
    write_mnist(root=tmp_path / "second")
    monkeypatch.setenv("BAKEOFF_DATA", str(tmp_path / "second"))
    assert find_home(record, tmp_path / "first") == tmp_path / "second"
    write_mnist(root=tmp_path / "first")
    assert find_home(record, tmp_path / "first") == tmp_path / "first"


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
def test_idx_in_torchvisions_layout(small, write_mnist, name, folder, zipped) -> None:
    root = write_mnist(folder, zipped=zipped).root
    suffix = ".gz" if zipped else ""
    located = find_split(find_dataset(name), "test", root)
    assert located is not None
    assert located.files == (
        root / folder / f"t10k-images-idx3-ubyte{suffix}",
        root / folder / f"t10k-labels-idx1-ubyte{suffix}",
    )


def test_a_missing_file_means_not_found(small, write_mnist) -> None:
    root = write_mnist().root
    (root / "MNIST/raw/train-labels-idx1-ubyte").unlink()
    assert find_split(find_dataset("mnist"), "train", root) is None
    assert find_split(find_dataset("mnist"), "test", root) is not None


def test_cifar_folder_before_archive(small, write_cifar) -> None:
    record = find_dataset("cifar100")
    root = write_cifar("cifar100", archived=True).root
    assert find_split(record, "train", root).sources == (root / "cifar-100-binary.tar.gz",)
    write_cifar("cifar100")
    folder = root / "cifar-100-binary"
    assert find_split(record, "train", root).sources == (folder / "train.bin", folder / "fine_label_names.txt")
    (folder / "test.bin").unlink()
    assert find_split(record, "test", root).sources == (root / "cifar-100-binary.tar.gz",)


def test_a_pickled_version_is_noticed_and_not_taken(small, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert find_home(find_dataset("cifar10"), tmp_path) is None
    assert find_pickled(find_dataset("cifar10"), tmp_path) == tmp_path / "cifar-10-batches-py"
    assert find_pickled(find_dataset("mnist"), tmp_path) is None
