from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from bakeoff.data.digits import TEST_FRACTION, TEST_SEED, read_digits
from bakeoff.data.registry import find_dataset
from bakeoff.data.splits import split_stratified


def test_both_splits_together_are_the_source() -> None:
    bunch = load_digits()
    parts = split_stratified(bunch.target, TEST_FRACTION, TEST_SEED)
    for split, chosen in zip(("train", "test"), parts, strict=True):
        pixels, labels = read_digits(split)
        assert pixels.dtype == np.uint8
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, bunch.target[chosen])
        np.testing.assert_array_equal(pixels[..., 0], np.rint(bunch.images[chosen] * (255 / 16)))


def test_the_split_is_the_registered_one_and_stratified() -> None:
    record = find_dataset("digits")
    counts = [np.bincount(read_digits(split)[1]) for split in ("train", "test")]
    assert [count.sum() for count in counts] == [record.num_train, record.num_test]
    np.testing.assert_allclose(counts[1] / (counts[0] + counts[1]), TEST_FRACTION, atol=0.01)
