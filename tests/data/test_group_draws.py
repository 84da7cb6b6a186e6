from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.data.group_draws import count_class_groups
from bakeoff.data.listing import draw_share
from bakeoff.data.splits import split_fold, split_nested, split_stratified
from bakeoff.errors import DataError


def make_groups(seed: int, *, num_classes: int = 4, per_class: int = 30, largest: int = 8, mixed: bool = False):
    """Return labels and groups, shuffled; with `mixed` a group has images of every class."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, largest + 1, num_classes * per_class)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = generator.integers(0, num_classes, len(groups)) if mixed else groups % num_classes
    order = generator.permutation(len(groups))
    return labels[order], groups[order]


def share_no_group(groups, *parts) -> bool:
    sets = [set(groups[part].tolist()) for part in parts]
    return sum(map(len, sets)) == len(set().union(*sets)) and sum(map(len, parts)) == len(groups)


seeds = st.integers(0, 2**32)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(seed=seeds, fraction=st.floats(0.05, 0.9))
def test_lone_images_are_drawn_and_dealt_as_without_groups(seed, fraction) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, 150)
    alone = np.random.default_rng(seed).permutation(150)
    for found, expected in zip(
        split_stratified(labels, fraction, seed, alone), split_stratified(labels, fraction, seed), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    for folds in (2, 3, 5):
        for found, expected in zip(
            split_nested(labels, folds, 1, fraction, seed, alone),
            split_nested(labels, folds, 1, fraction, seed),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)
    names = [f"class {label}" for label in labels]
    for keep_one in (False, True):
        np.testing.assert_array_equal(
            draw_share(names, fraction, 7, keep_one=keep_one, groups=alone),
            draw_share(names, fraction, 7, keep_one=keep_one),
        )


def test_draws_without_groups_are_those_of_earlier_versions() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 500)
    digest = hashlib.sha256()
    for seed in range(5):
        for part in (*split_stratified(labels, 0.13, seed), *split_nested(labels, 4, seed % 4, 0.2, seed)):
            digest.update(part.astype("<i8").tobytes())
        digest.update(draw_share([str(label) for label in labels], 0.3, seed, keep_one=True).tobytes())
    assert digest.hexdigest() == "912c35f4b0439bd8a3e2c0474f148bd21ce491a59ebb3617d98ee75093fe6ad1"


@settings(derandomize=True, max_examples=40, deadline=None)
@given(seed=seeds, fraction=st.floats(0.1, 0.9), mixed=st.booleans())
def test_no_group_is_on_two_sides_and_class_shares_are_close(seed, fraction, mixed) -> None:
    labels, groups = make_groups(seed, mixed=mixed)
    parts = split_stratified(labels, fraction, seed, groups)
    assert share_no_group(groups, *parts)
    is_drawn = draw_share([str(label) for label in labels], fraction, seed, keep_one=True, groups=groups)
    assert share_no_group(groups, np.flatnonzero(is_drawn), np.flatnonzero(~is_drawn))
    total, most = np.bincount(labels), 12 if mixed else 5
    for chosen in (parts[1], np.flatnonzero(is_drawn)):
        taken = np.bincount(labels[chosen], minlength=4)
        assert (np.abs(taken - total * fraction) <= most).all()
        assert (taken > 0).all()
        assert (taken < total).all()


@settings(derandomize=True, max_examples=40, deadline=None)
@given(seed=seeds, num_folds=st.integers(2, 8), mixed=st.booleans())
def test_folds_cover_all_images_without_dividing_a_group(seed, num_folds, mixed) -> None:
    labels, groups = make_groups(seed, mixed=mixed)
    total = np.bincount(labels)
    folds = []
    for fold in range(num_folds):
        train, inner, held_out = split_nested(labels, num_folds, fold, 0.2, seed, groups)
        assert share_no_group(groups, train, inner, held_out)
        folds.append(held_out)
        for part in (train, inner, held_out):
            assert (np.bincount(labels[part], minlength=4) > 0).all()
        assert (np.abs(np.bincount(labels[held_out]) - total / num_folds) <= 8).all()
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(len(labels)))


def test_shares_are_as_close_as_those_of_scikit_learn() -> None:
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    def deviate(labels, parts, fraction):
        return np.mean(
            [np.abs(np.bincount(labels[p], minlength=4) / np.bincount(labels) - fraction).max() for p in parts]
        )

    ours_fold, theirs_fold, ours_split, theirs_split = [], [], [], []
    for seed in range(20):
        labels, groups = make_groups(seed, mixed=seed % 2 == 1)
        ours_fold.append(deviate(labels, [split_fold(labels, 5, f, seed, groups)[1] for f in range(5)], 0.2))
        theirs = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
        theirs_fold.append(deviate(labels, [test for _, test in theirs], 0.2))
        ours_split.append(deviate(labels, [split_stratified(labels, 0.2, seed, groups)[1]], 0.2))
        shuffled = GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(labels, labels, groups)
        theirs_split.append(deviate(labels, [test for _, test in shuffled], 0.2))
    assert np.mean(ours_split) < np.mean(theirs_split)
    assert np.mean(ours_fold) < 2 * np.mean(theirs_fold)


def test_equal_groups_are_split_exactly_and_differently_by_seed() -> None:
    groups = np.repeat(np.arange(50), 8)
    labels = groups % 2
    drawn = {tuple(split_stratified(labels, 0.2, seed, groups)[1]) for seed in range(10)}
    assert {len(part) for part in drawn} == {80}
    assert len(drawn) == 10
    assert all(len(split_fold(labels, 5, fold, 3, groups)[1]) == 80 for fold in range(5))


def test_a_giant_group_is_left_in_training() -> None:
    groups = np.repeat(np.arange(11), [60, *[4] * 10])
    labels = np.concatenate([groups * 0, groups * 0 + 1])
    groups = np.concatenate([groups, groups + 100])
    for seed in range(10):
        _, validation = split_stratified(labels, 0.2, seed, groups)
        assert len(validation) == 40
        assert not {0, 100} & set(groups[validation].tolist())


def test_classes_of_two_groups_have_one_on_each_side_whatever_their_sizes() -> None:
    groups = np.repeat([0, 1, 2, 3], [50, 1, 30, 30])
    labels = np.repeat([0, 1], [51, 60])
    for fraction in (0.05, 0.5, 0.95):
        for seed in range(5):
            parts = split_stratified(labels, fraction, seed, groups)
            assert share_no_group(groups, *parts)
            assert [len(set(groups[part].tolist())) for part in parts] == [2, 2]


@pytest.mark.parametrize("seed", range(6))
def test_two_folds_leave_two_groups_of_a_class_outside(seed) -> None:
    groups = np.repeat(np.arange(8), [40, 1, 1, 1, 9, 9, 1, 1])
    labels = np.repeat([0, 1], [43, 20])
    for fold in (0, 1):
        parts = split_nested(labels, 2, fold, 0.5, seed, groups)
        assert share_no_group(groups, *parts)


def test_too_few_groups_are_refused_with_their_number() -> None:
    groups = np.repeat([0, 1, 2, 3, 4], 5)
    labels = np.repeat([0, 1], [5, 20])
    with pytest.raises(DataError, match=r"class '0' has 1 group of images, .*one on each side"):
        split_stratified(labels, 0.2, 0, groups)
    with pytest.raises(DataError, match=r"class '0' has 1 group of images, .*each of 3 folds"):
        split_fold(labels, 3, 0, 0, groups)
    with pytest.raises(DataError, match="class 'cat' has 1 group"):
        draw_share(["cat"] * 5 + ["dog"] * 20, 0.2, 0, keep_one=True, groups=groups)
    assert count_class_groups(labels, groups, 3).tolist() == [1, 4, 0]


def test_a_subset_takes_whole_groups() -> None:
    labels, groups = make_groups(5)
    is_drawn = draw_share([str(label) for label in labels], 0.1, 3, groups=groups)
    assert share_no_group(groups, np.flatnonzero(is_drawn), np.flatnonzero(~is_drawn))
    assert set(labels[is_drawn].tolist()) == {0, 1, 2, 3}
