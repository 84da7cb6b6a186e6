from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bakeoff.data.digits import TEST_FRACTION, TEST_SEED, read_digits
from bakeoff.data.registry import find_dataset
from bakeoff.data.splits import split_stratified
from bakeoff.errors import DataError


def test_both_splits_together_are_the_source() -> None:
    bunch = load_digits()
    parts = split_stratified(bunch.target, TEST_FRACTION, TEST_SEED)
    for split, chosen in zip(("train", "test"), parts, strict=True):
        pixels, labels = read_digits(split)
        assert pixels.dtype == np.uint8
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, bunch.target[chosen])
        np.testing.assert_allclose(pixels[..., 0] / 255, bunch.images[chosen] / 16, atol=0.5 / 255)


def test_the_split_is_the_registered_one_and_stratified() -> None:
    record = find_dataset("digits")
    counts = [np.bincount(read_digits(split)[1]) for split in ("train", "test")]
    assert [count.sum() for count in counts] == [record.num_train, record.num_test]
    np.testing.assert_allclose(counts[1] / (counts[0] + counts[1]), TEST_FRACTION, atol=0.01)


def test_without_scikit_learn_the_remedy_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        read_digits("train")
