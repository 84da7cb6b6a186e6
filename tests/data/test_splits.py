from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.data.splits import check_classes, split_fold, split_nested, split_stratified
from bakeoff.errors import DataError


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(20, 70), min_size=1, max_size=12),
    fraction=st.floats(0.06, 0.94),
    seed=st.integers(0, 2**63),
)
def test_every_image_once_and_every_class_within_one_of_its_share(counts, fraction, seed) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    train, validation = split_stratified(labels, fraction, seed)
    assert train.dtype == validation.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    taken = np.bincount(labels[validation], minlength=len(counts))
    assert (np.abs(taken - np.array(counts) * fraction) < 1 + 1e-6).all()
    assert len(validation) == round(len(labels) * fraction)


@pytest.mark.parametrize(("count", "fraction", "expected"), [(30, 0.1, 3), (100, 0.29, 29), (10, 0.7, 7)])
def test_whole_shares_are_exact_in_spite_of_binary_fractions(count, fraction, expected) -> None:
    labels = np.repeat(np.arange(3), count)
    _, validation = split_stratified(labels, fraction, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[validation]), [expected] * 3)


def test_the_seed_decides() -> None:
    labels = np.arange(400) % 10
    first, again, other = (split_stratified(labels, 0.1, seed)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_image_of_a_class_is_equally_likely() -> None:
    labels = np.repeat([0, 1], [20, 30])
    drawn = np.zeros(50)
    for seed in range(2000):
        drawn[split_stratified(labels, 0.2, seed)[1]] += 1
    # Binomial(2000, 0.2) has sd 17.9; five of them cover 50 images.
    assert np.abs(drawn - 400).max() < 5 * 17.9


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (0.0, "is 0; it must be between 0 and 1"),
        (1.0, "is 1; it must be between 0 and 1"),
        (float("nan"), "is nan; it must be between 0 and 1"),
    ],
)
def test_impossible_fractions_are_refused(fraction, message) -> None:
    with pytest.raises(DataError, match=message):
        split_stratified(np.repeat(np.arange(3), 10), fraction, seed=0)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(2, 30), min_size=2, max_size=12),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63),
)
def test_every_class_has_an_image_on_each_side(counts, fraction, seed) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    train, validation = split_stratified(labels, fraction, seed)
    taken = np.bincount(labels[validation], minlength=len(counts))
    assert (taken >= 1).all()
    assert (taken < counts).all()
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(len(labels)))
    total = round(len(labels) * fraction)
    assert len(validation) == np.clip(total, len(counts), len(labels) - len(counts))


def test_a_rare_class_takes_its_image_from_those_that_can_spare_one() -> None:
    labels = np.repeat([0, 1, 2], [40, 2, 18])
    _, validation = split_stratified(labels, 0.1, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[validation]), [4, 1, 1])


def test_splits_that_need_no_help_are_what_they_were() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [31, 12, 55, 20]))
    _, validation = split_stratified(labels, 0.17, seed=7)
    assert hashlib.sha256(validation.tobytes()).hexdigest()[:16] == "e765db680295cfaa"


@pytest.mark.parametrize(
    ("counts", "folds", "message"),
    [
        ([9, 1], None, r"^pets: too few images of 'dog' \(1\): two training images of every class are needed"),
        ([9, 1], 5, r"'dog' \(1\): 5 folds need 5 training images of every class. Add images, or leave"),
        ([9, 3], 2, r"'dog' \(3\): 2 folds need 4 training images of every class. Add images, take 3 folds"),
        ([3, 4], 5, r"'cat' \(3\), 'dog' \(4\): 5 folds need 5 .* Add images, take 3 folds, or leave"),
    ],
)
def test_a_class_too_small_to_be_split_is_named(counts, folds, message) -> None:
    with pytest.raises(DataError, match=message):
        check_classes(counts, ("cat", "dog"), "pets", folds=folds)
    check_classes([9, 4 if folds == 2 else folds or 2], ("cat", "dog"), "pets", folds=folds)


def test_two_folds_leave_each_class_an_image_to_train_on_and_one_to_validate() -> None:
    check_classes([4], ("cat",), "pets", folds=2)
    split_nested(np.zeros(4, np.int64), 2, 0, 0.1, seed=0)
    with pytest.raises(DataError, match=r"'cat' \(3\): 2 folds need 4 training images of every class"):
        check_classes([3], ("cat",), "pets", folds=2)


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no images to split"):
        split_stratified(np.array([], dtype=np.int64), 0.1, seed=0)


@pytest.mark.parametrize(("num_folds", "counts"), [(2, [4, 5]), (5, [7, 12, 5]), (3, [100, 3, 50])])
def test_folds_are_disjoint_cover_everything_and_are_level(num_folds, counts) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    held_out = []
    for fold in range(num_folds):
        train, validation = split_fold(labels, num_folds, fold, seed=3)
        assert sorted([*train, *validation]) == list(range(len(labels)))
        held_out.append(validation)
    assert sorted(np.concatenate(held_out)) == list(range(len(labels)))
    sizes = [len(validation) for validation in held_out]
    assert max(sizes) - min(sizes) <= 1
    for label in range(len(counts)):
        shares = [int((labels[validation] == label).sum()) for validation in held_out]
        assert max(shares) - min(shares) <= 1


def test_the_seed_decides_the_folds() -> None:
    labels = np.repeat(np.arange(3), 20)
    assert np.array_equal(split_fold(labels, 4, 1, seed=5)[1], split_fold(labels, 4, 1, seed=5)[1])
    assert not np.array_equal(split_fold(labels, 4, 1, seed=5)[1], split_fold(labels, 4, 1, seed=6)[1])


def test_more_folds_than_images_of_a_class_are_refused() -> None:
    with pytest.raises(DataError, match=r"class 1 has too few images .3. for 4 folds"):
        split_fold(np.array([0, 0, 0, 0, 1, 1, 1]), 4, 0, seed=0)


@pytest.mark.parametrize(("num_folds", "validation"), [(2, 0.1), (5, 0.3)])
def test_a_held_out_fold_is_locked_and_the_rest_is_split_with_equal_class_shares(num_folds, validation) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [40, 60, 100]))
    locked = []
    for fold in range(num_folds):
        train, inner, held_out = split_nested(labels, num_folds, fold, validation, seed=7)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, inner, held_out])), np.arange(len(labels)))
        assert all((np.diff(part) > 0).all() for part in (train, inner, held_out))
        rest = len(labels) - len(held_out)
        assert len(inner) == round(rest * validation)
        exact = np.bincount(labels[np.concatenate([train, inner])]) * validation
        assert (np.abs(np.bincount(labels[inner]) - exact) < 1).all()
        locked.append(held_out)
    # Every image is scored once by a model that has seen it neither in training nor in selection.
    np.testing.assert_array_equal(np.sort(np.concatenate(locked)), np.arange(len(labels)))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_what_passes_the_check_can_be_split_within_every_fold(folds: int) -> None:
    labels = np.repeat([0, 1], [4 if folds == 2 else folds, 20])
    for fold in range(folds):
        train, validation, held_out = split_nested(labels, folds, fold, 0.1, seed=fold)
        assert all(set(labels[part]) == {0, 1} for part in (train, validation, held_out))
