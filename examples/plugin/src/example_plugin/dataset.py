"""A dataset that comes with the package: images of 8x8 with a bright column (class 0) or a bright row (class 1)."""

import numpy as np
import numpy.typing as npt

from bakeoff.data.registry import DatasetRecord, EmbeddedLayout, Split


def read_stripes(split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the pixels (N, H, W, C) and labels (N) of one split; here they are drawn, not read."""
    rng, num_images = np.random.default_rng(split == "test"), 80 if split == "train" else 40
    pixels, labels = rng.integers(0, 120, (num_images, 8, 8, 1)), np.arange(num_images) % 2
    for image, label in zip(pixels, labels, strict=True):
        (image if label else image.swapaxes(0, 1))[rng.integers(8)] += 100
    return pixels.astype(np.uint8), labels


STRIPES = DatasetRecord(
    name="stripes",
    summary="drawn rows and columns",
    source="this package",
    image_shape_HWC=(8, 8, 1),
    class_names=("column", "row"),
    num_train=80,
    num_test=40,
    layout=EmbeddedLayout(package="bakeoff-example-plugin", read=read_stripes),
)
