"""Decoding in chunks: the same bytes on any number of cores, and after any number of kills."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import chunks, collect, parallel
from bakeoff.data.cache import PIXELS_FILE
from bakeoff.data.chunks import Outcome, PixelStore
from bakeoff.data.files import list_source
from bakeoff.data.parallel import map_in_order
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_training

GENERATOR = np.random.default_rng(3)


class Killed(BaseException):
    """Stands in for a kill: nothing catches it."""


def make_image(num_channels: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, (5, 7, num_channels), dtype=np.uint8)


def fill(store: PixelStore, images: list[np.ndarray | None], every: int = 2) -> None:
    for number, image in enumerate(images, start=1):
        store.append(Outcome(reason="" if image is not None else "empty", original_HW=(number, 2)), image)
        if number % every == 0:
            store.commit()


def expect(images: list[np.ndarray | None]) -> np.ndarray:
    kept = [image for image in images if image is not None]
    channels = max(image.shape[2] for image in kept)
    return np.stack([np.broadcast_to(image, (*image.shape[:2], channels)) for image in kept])


@pytest.mark.parametrize(
    "channels", [(1, 1, 1, 1, 1), (3, 3, 1, 3, 1), (1, 1, 1, 3, 1), (0, 1, 0, 1, 3), (1, 1, 3, 0, 1)]
)
@pytest.mark.parametrize("num_before", range(6))
def test_what_was_committed_is_taken_over(tmp_path: Path, channels, num_before, monkeypatch) -> None:
    monkeypatch.setattr(chunks, "_BLOCK_BYTES", 40)
    images = [make_image(count) if count else None for count in channels]
    with PixelStore(tmp_path) as store:
        fill(store, images[:num_before])
    with PixelStore(tmp_path) as store:
        done = len(store.outcomes)
        assert done == num_before // 2 * 2 or 3 in channels[:num_before]
        fill(store, images[done:])
        pixels = store.finish()
        assert [outcome.original_HW[0] for outcome in store.outcomes[done:]] == list(range(1, 6 - done))
    np.testing.assert_array_equal(pixels, expect(images))
    assert os.path.getsize(tmp_path / PIXELS_FILE) == 128 + pixels.nbytes


@pytest.mark.parametrize("damage", ["pixels", "journal", "cut", "nonsense"])
def test_a_damaged_chunk_and_what_follows_are_decoded_again(tmp_path: Path, damage) -> None:
    images = [make_image(3) for _ in range(8)]
    with PixelStore(tmp_path) as store:
        fill(store, images)
    path, journal = tmp_path / PIXELS_FILE, tmp_path / chunks.JOURNAL_FILE
    content, lines = bytearray(path.read_bytes()), journal.read_text().splitlines(keepends=True)
    if damage == "pixels":
        content[128 + 2 * 105 + 3] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: 128 + 3 * 105])
    elif damage == "journal":
        journal.write_text("".join([lines[0], lines[1][:-20]]))
    else:
        journal.write_text("".join([lines[0], json.dumps([]) + "\n", *lines[2:]]))
    with PixelStore(tmp_path) as store:
        assert len(store.outcomes) == 2
        fill(store, images[2:])
        np.testing.assert_array_equal(store.finish(), np.stack(images))


def write_mixed(write_pictures) -> DataSource:
    """Twenty grey images of which two cannot be read, then twenty of which the last are coloured."""
    root = write_pictures({"cat": 20, "dog": 20})
    for number in (3, 12):
        (root / "cat" / f"{number:03d}.png").write_bytes(b"no image")
    for number in range(12, 20):
        Image.fromarray(make_image(3)[:, :6]).save(root / "dog" / f"{number:03d}.png")
    return DataSource(folder=str(root))


def test_the_number_of_cores_changes_nothing(write_pictures, tmp_path: Path, monkeypatch) -> None:
    source = write_mixed(write_pictures)
    found = []
    for num_cores in (1, 2, 7):
        monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / f"cache{num_cores}"))
        monkeypatch.setattr(parallel, "count_cores", lambda num_cores=num_cores: num_cores)
        images = open_training(source)
        found.append((images.fingerprint, images.notes, images.pixels.tobytes()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("num_read", [3, 9, 17, 29])
def test_a_killed_decoding_is_resumed(write_pictures, tmp_path: Path, cache: Path, monkeypatch, num_read) -> None:
    source = write_mixed(write_pictures)
    monkeypatch.setattr(collect, "CHUNK_FILES", 4)
    monkeypatch.setattr(collect, "CHUNK_SECONDS", 1e9)
    monkeypatch.setattr(parallel, "count_cores", lambda: 1)
    whole, read = collect.read_picture, list[str]()

    def count(path: str, *rest):
        if len(read) == num_read:
            raise Killed
        read.append(path)
        return whole(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(collect, "read_picture", count)
        with pytest.raises(Killed):
            open_training(source)
        files = [file.path for file in list_source(source).select("train")]
        assert read == files[:num_read]
        read.clear()
        num_read = 1_000
        images = open_training(source)
    taken_over = len(files) - len(read)
    assert taken_over % 4 == 0
    assert read == files[taken_over:]
    assert [path.name for path in (cache / "decoded").iterdir() if ".part" in path.name] == []
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "other"))
    again = open_training(source)
    assert (again.fingerprint, again.notes) == (images.fingerprint, images.notes)


def test_results_come_in_order_and_few_are_kept_waiting() -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        return number**2

    found = map_in_order(work, range(1_000), num_workers=4, batch=3)
    assert [next(found) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(started) <= (3 * 4 + 2) * 3
    assert list(found) == [number**2 for number in range(5, 1_000)]


def test_an_error_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda number: 1 // (number - 50), range(100), num_workers=3))
