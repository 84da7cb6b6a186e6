"""The embedded default dataset: the 8x8 digits known from scikit-learn, with a fixed test split.

The source has no split. bakeoff sets 20% aside as the test split, stratified, drawn with `TEST_SEED` and shared by all
studies. The origin and license of the images are in digits-LICENSE.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.registry import Split
from bakeoff.data.splits import split_stratified

TEST_FRACTION = 0.2
TEST_SEED = 1797

_FILE = Path(__file__).with_name("digits.npz")


def read_digits(split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split of the digits; the other split's images are discarded at once.

    Pixels run 0..16 in the source and are scaled to 0..255, rounded to nearest.

    Returns:
        Pixels [n, 8, 8, 1] and labels [n] in 0..9, in the source's order.
    """
    with np.load(_FILE, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    train, test = split_stratified(labels, TEST_FRACTION, TEST_SEED)
    chosen = train if split == "train" else test
    pixels = np.rint(images[chosen] * (255 / 16)).astype(np.uint8)
    return pixels[..., np.newaxis], labels[chosen]
