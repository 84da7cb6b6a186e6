"""The pictures of a report: of the images that were trained on and of no others, kept where the images are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.cache import Images
from bakeoff.data.source import DataSource
from bakeoff.report import thumbnails
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.mistakes import Confusion, Mistake
from bakeoff.report.thumbnails import MOST_PIXELS, Thumbnails, gather_thumbnails, keep_thumbnails
from bakeoff.stats.measure import Split
from bakeoff.workspace import Folders

SOURCE = DataSource(name="digits")


def make_images(height: int = 8, width: int = 8, channels: int = 1, fingerprint: str = "f") -> Images:
    rng = np.random.default_rng(0)
    return Images(
        pixels=rng.integers(0, 256, (20, height, width, channels), dtype=np.uint8),
        labels=np.arange(20) % 2,
        class_names=("a", "b"),
        fingerprint=fingerprint,
    )


def make_evidence(split: Split = "test", indices: tuple[int, ...] = (4, 2)) -> BlockEvidence:
    mistakes = tuple(Mistake(index=index, probability=0.9, num_wrong=1, num_shown=1) for index in indices)
    confusion = Confusion(true=0, predicted=1, times=2, num_images=2, mistakes=mistakes)
    return BlockEvidence(
        block="digits",
        split=split,
        arm="x",
        num_trials=1,
        classes=(),
        averages={},
        accuracy_interval=(0, 1),
        confusion=(),
        confusions=(confusion,),
    )


class Cache:
    """What this machine has decoded, and which splits were asked for."""

    def __init__(self, images: Images | None) -> None:
        self.images, self.asked = images, list[str]()

    def find(self, source: DataSource, split: str, data_dir: Path | None) -> Images | None:
        self.asked.append(split)
        return self.images


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Cache:
    found = Cache(make_images())
    monkeypatch.setattr(thumbnails, "find_decoded", found.find)
    return found


def gather(folder: Path, split: Split = "test", known: Any = None, **fields: Any) -> dict[str, Thumbnails]:
    fingerprints = {("digits", split): frozenset({"f"})} if known is None else known
    return gather_thumbnails((make_evidence(split, **fields),), {"digits": SOURCE}, fingerprints, Folders(folder))


def test_pictures_are_the_pixels_of_the_chosen_images(tmp_path: Path, cache: Cache) -> None:
    found = gather(tmp_path)["digits"]
    assert cache.images is not None
    assert found.indices == (2, 4)
    assert np.array_equal(found.pixels, cache.images.pixels[[2, 4]])
    assert cache.asked == ["test"]
    assert not list(tmp_path.iterdir())  # reading writes nothing


def test_kept_pictures_need_no_images_and_another_choice_has_its_own(tmp_path: Path, cache: Cache) -> None:
    first = gather(tmp_path)["digits"]
    keep_thumbnails([first], Folders(tmp_path))
    cache.images, cache.asked = None, []
    again = gather(tmp_path)["digits"]
    assert again == first
    assert np.array_equal(again.pixels, first.pixels)
    assert cache.asked == []
    assert gather(tmp_path, indices=(4, 6)) == {}
    assert gather(tmp_path, known={("digits", "test"): frozenset({"other"})}) == {}


def test_a_damaged_file_counts_as_none_and_is_written_again(tmp_path: Path, cache: Cache) -> None:
    first = gather(tmp_path)["digits"]
    path = Folders(tmp_path).pictures(first.key)
    path.parent.mkdir()
    for damaged in (b"", b"PK\x03\x04 no zip", b"\x93NUMPY"):
        path.write_bytes(damaged)
        assert np.array_equal(gather(tmp_path)["digits"].pixels, first.pixels)
    keep_thumbnails([first], Folders(tmp_path))
    cache.images = None
    assert gather(tmp_path) == {"digits": first}


def test_the_test_split_is_not_looked_at_before_its_exam(tmp_path: Path, cache: Cache) -> None:
    assert gather(tmp_path, known={("digits", "validation"): frozenset({"f"})}) == {}
    assert cache.asked == []
    assert "digits" in gather(tmp_path, split="validation")
    assert cache.asked == ["train"]


@pytest.mark.parametrize("known", [frozenset(), frozenset({""}), frozenset({"f", "g"}), frozenset({"g"})])
def test_other_images_than_those_of_the_ledger_are_not_shown(tmp_path: Path, cache: Cache, known: Any) -> None:
    assert gather(tmp_path, known={("digits", "test"): known}) == {}


def test_images_whose_labels_do_not_fit_are_not_shown(tmp_path: Path, cache: Cache) -> None:
    assert gather(tmp_path, indices=(2, 3)) == {}  # 3 is of class 1
    assert gather(tmp_path, indices=(2, 40)) == {}


@pytest.mark.parametrize(
    ("height", "width", "channels", "expected"), [(200, 100, 3, (96, 48, 3)), (97, 300, 1, (31, 96, 1))]
)
def test_large_images_are_kept_small(
    tmp_path: Path, cache: Cache, height: int, width: int, channels: int, expected: tuple[int, ...]
) -> None:
    cache.images = make_images(height, width, channels)
    found = gather(tmp_path)["digits"]
    assert found.pixels.shape == (2, *expected)
    assert max(found.pixels.shape[1:3]) == MOST_PIXELS
