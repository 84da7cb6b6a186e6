"""Copies are found whatever was done to them, and different images are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bakeoff.data.audit.near import CHANGES, find_duplicates, match
from bakeoff.data.audit.signatures import (
    SIDE,
    Signatures,
    load_signatures,
    save_signatures,
    sign_images,
    sign_unreadable,
    weigh,
)
from bakeoff.data.files import audit_files, list_whole
from bakeoff.data.source import DataSource

NUM_IMAGES = 40


def paint(seed: int, channels: int = 3, side: int = 64) -> list[Image.Image]:
    """Return images as smooth as photographs: noise at several scales."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(NUM_IMAGES):
        total = np.zeros((side, side, channels))
        for cells in (3, 6, 12):
            for channel in range(channels):
                grid = Image.fromarray(rng.normal(0, 120 / cells, (cells, cells)).astype(np.float32))
                total[..., channel] += np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
        pixels = np.clip(total + 128, 0, 255).astype(np.uint8)
        images.append(Image.fromarray(pixels if channels == 3 else pixels[..., 0]))
    return images


def sign(images: list[Image.Image]) -> Signatures:
    arrays = [np.asarray(image) for image in images]
    return Signatures.join(sign_images(a.reshape(1, *a.shape[:2], -1)) for a in arrays)


def encode(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=75)
    return Image.open(io.BytesIO(stream.getvalue()))


CHANGED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG": encode,
    "half": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR),
    "larger": lambda image: image.resize((image.width * 2, image.height + 9), Image.Resampling.BICUBIC),
    "brighter": lambda image: image.point(lambda value: min(255, value + 15)),
    "mirrored": ImageOps.mirror,
    "mirrored JPEG": lambda image: encode(ImageOps.mirror(image)),
    "cropped": lambda image: image.crop((1, 2, image.width - 2, image.height - 1)),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_copy_is_paired_with_its_original_alone(change: str) -> None:
    images = paint(0)
    pairs = match(sign(images), sign([CHANGED[change](image) for image in images]))
    np.testing.assert_array_equal(pairs, np.stack([np.arange(NUM_IMAGES)] * 2, axis=1))


def test_small_grey_images_must_be_nearly_identical() -> None:
    images = paint(1, channels=1, side=28)
    own = sign(images)
    assert len(match(own, sign([ImageOps.mirror(image) for image in images]))) == NUM_IMAGES
    assert len(match(own, sign([CHANGED["JPEG"](image) for image in images]))) >= 0.5 * NUM_IMAGES
    # Moved by one pixel of 28, as another hand would write it.
    assert len(match(own, sign([Image.fromarray(np.roll(np.asarray(image), 1, axis=1)) for image in images]))) == 0


def test_exact_copies_have_the_number_of_the_first() -> None:
    images = paint(2)[:4]
    grey = ImageOps.grayscale(images[0])
    found = find_duplicates(sign([*images, images[2], grey, grey.convert("RGB"), images[2]]))
    np.testing.assert_array_equal(found.exact, [0, 1, 2, 3, 2, 5, 5, 2])


def test_how_a_near_duplicate_differs_is_named() -> None:
    images = paint(3)
    for change, name in (("JPEG", "encoded"), ("mirrored", "mirrored")):
        found = find_duplicates(sign([images[0], CHANGED[change](images[0])]))
        assert [CHANGES[each] for each in found.changes] == [name]
    # A crop that correlates as it is counts as encoded anew: take those that only fit when aligned.
    kinds = [find_duplicates(sign([image, image.crop((0, 0, 60, 60))])).changes.tolist() for image in images]
    assert [CHANGES.index("cropped")] in kinds
    assert [CHANGES.index("mirrored")] not in kinds


def test_equal_shapes_of_other_colours_are_different_images() -> None:
    pixels = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    pixels[0, 16:48, 16:48] = (200, 0, 0)
    pixels[1, 16:48, 16:48] = (0, 102, 0)
    assert len(find_duplicates(sign_images(pixels)).near) == 0


def test_what_cannot_be_read_or_shows_nothing_has_no_near_duplicates() -> None:
    flat = sign_images(np.stack([np.full((32, 32, 3), 90, np.uint8), np.full((32, 32, 3), 91, np.uint8)]))
    found = find_duplicates(Signatures.join([sign_unreadable(), sign_unreadable(), flat]))
    np.testing.assert_array_equal(found.exact, np.arange(4))
    assert len(found.near) == 0
    np.testing.assert_array_equal(flat.is_constant, [True, True])


def test_thumbnails_are_resized_as_pillow_does() -> None:
    image = paint(4, channels=1, side=50)[0]
    expected = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(sign([image]).thumbnails[0].astype(int) - expected).max() <= 1
    np.testing.assert_allclose(weigh(7, 5).sum(axis=1), 1, rtol=1e-6)


def test_signatures_are_stored_and_damaged_ones_are_not_read(tmp_path: Path) -> None:
    path, signatures = tmp_path / "a.npz", sign(paint(5)[:3])
    save_signatures(path, signatures)
    read = load_signatures(path)
    assert read is not None
    np.testing.assert_array_equal(read.thumbnails, signatures.thumbnails)
    path.write_bytes(path.read_bytes()[:-50])
    assert load_signatures(path) is None
    assert load_signatures(tmp_path / "none.npz") is None


def test_no_images_have_no_pairs() -> None:
    none = sign_images(np.empty((0, 8, 8, 1), dtype=np.uint8))
    assert match(none, none).shape == (0, 2)


def test_large_photographs_are_signed_as_thumbnails(tmp_path: Path) -> None:
    """They took 95 ms each; copies are found as before, and sizes are those of the files."""
    root = tmp_path / "photos"
    generator = np.random.default_rng(0)
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for number in range(4):
            coarse = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            photo = Image.fromarray(coarse).resize((1200, 900), Image.Resampling.BICUBIC)
            photo.save(root / label / f"{number}.jpg", quality=90)
    Image.open(root / "a" / "0.jpg").save(root / "a" / "copy.jpg", quality=70)
    (root / "a" / "same.jpg").write_bytes((root / "a" / "1.jpg").read_bytes())
    audit = audit_files(list_whole(DataSource(folder=str(root))))
    assert audit is not None
    assert {tuple(size) for size in audit.sizes.tolist()} == {(900, 1200, 3)}
    first = dict(zip(audit.names, audit.duplicates.exact.tolist(), strict=True))
    assert first["a/same.jpg"] == first["a/1.jpg"]
    pairs = {frozenset((audit.names[a], audit.names[b])) for a, b in audit.duplicates.near.tolist()}
    assert pairs == {frozenset(("a/0.jpg", "a/copy.jpg"))}
