"""The embedded default: scikit-learn's 8x8 digits, with a fixed test split.

scikit-learn provides one array and no split. bakeoff sets 20% aside as the test split, stratified, drawn once with
`TEST_SEED`; all studies share it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bakeoff.data.registry import Split
from bakeoff.data.splits import split_stratified
from bakeoff.errors import DataError

TEST_FRACTION = 0.2
TEST_SEED = 1797


def read_digits(split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split of the digits; the other split's images are discarded at once.

    Pixels run 0..16 in the source and are scaled to 0..255, rounded to nearest.

    Returns:
        Pixels [n, 8, 8, 1] and labels [n] in 0..9, in the source's order.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("The digits come with scikit-learn, which is missing: pip install scikit-learn.") from error
    bunch = load_digits()
    labels = np.asarray(bunch.target, dtype=np.int64)
    train, test = split_stratified(labels, TEST_FRACTION, TEST_SEED)
    chosen = train if split == "train" else test
    pixels = np.rint(bunch.images[chosen] * (255 / 16)).astype(np.uint8)
    return pixels[..., np.newaxis], labels[chosen]
