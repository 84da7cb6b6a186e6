"""The sizes of a folder's images, and the side that is suggested for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from bakeoff.data import collect
from bakeoff.data.manage import show
from bakeoff.data.sizes import describe_sizes, suggest_side
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_training
from bakeoff.errors import DataError


@pytest.mark.parametrize(
    ("sizes", "num_images", "side"),
    [
        ({(480, 640): 100}, 100, 224),
        ({(130, 193): 60, (480, 640): 40}, 100, 128),
        ({(640, 100): 100}, 100, 96),
        ({(1_000, 1_000): 1}, 50_000, 128),
        ({(1_000, 1_000): 1}, 5_000_000, 64),
        ({(40, 35): 5, (90, 20): 4}, 9, 32),
        ({(5, 6): 2, (9, 9): 1}, 3, 5),
    ],
)
def test_the_side_is_one_that_most_images_have(sizes, num_images: int, side: int) -> None:
    assert suggest_side(Counter(sizes), num_images) == side


def test_facts_count_images_not_sizes() -> None:
    facts = describe_sizes(Counter({(100, 200): 1, (300, 300): 5, (90, 30): 1}), 2)
    assert (facts.num_sizes, facts.num_unreadable) == (3, 2)
    assert (facts.smallest_HW, facts.median_HW, facts.largest_HW) == ((90, 30), (300, 300), (300, 300))
    assert facts.aspect_ratios == pytest.approx((1 / 3, 1.0, 2.0))


@pytest.fixture
def mixed(write_pictures) -> Path:
    write_pictures({"cat": 10})
    root = write_pictures({"dog": 10}, size=(64, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (300, 200)).save(root / "dog" / "000.png", exif=exif.tobytes())
    return root


def test_a_folder_of_mixed_sizes_is_shown_without_decoding(mixed: Path, monkeypatch) -> None:
    monkeypatch.setattr(collect, "read_picture", None)
    facts = show(str(mixed))
    assert (facts["image_shape_HWC"], facts["fingerprint"], facts["num_train"]) == (None, None, 16)
    assert facts["train_images_per_class"] == {"cat": 8, "dog": 8}
    sizes = facts["sizes"]
    assert (sizes["smallest_HW"], sizes["num_unreadable"]) == ((5, 6), 0)
    assert sizes["largest_HW"] in ((300, 200), (40, 64))  # 000.png may be a test image


def test_a_size_makes_them_equal(mixed: Path) -> None:
    facts = show(DataSource(folder=str(mixed), image_size=16))
    assert facts["image_shape_HWC"] == (16, 16, 1)
    assert "sizes" not in facts


def test_the_error_of_a_run_suggests_the_same_square(mixed: Path) -> None:
    suggested = show(str(mixed))["sizes"]["suggested_image_size"]
    with pytest.raises(DataError, match=rf"(?m)image_size: {suggested}\.$"):
        open_training(DataSource(folder=str(mixed)))
