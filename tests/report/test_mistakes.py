"""Which mistakes are shown: frequent confusions first, in each the surest and most shared errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from bakeoff.report.mistakes import MOST_CONFUSIONS, count_pictures, list_confusions


def predict(rows: list[tuple[int, int, int, float]]) -> dict[str, Any]:
    """Return predictions of (index, true class, predicted class, its probability), of four classes."""
    indices, labels, called, sure = (np.array(column) for column in zip(*rows, strict=True))
    probabilities = np.tile(((1 - sure) / 3)[:, None], (1, 4))
    probabilities[np.arange(len(rows)), called] = sure
    return {"probabilities": probabilities.astype(np.float32), "labels": labels, "indices": indices}


def test_frequent_confusions_come_first_and_in_each_the_surest() -> None:
    first = predict([(7, 0, 1, 0.9), (8, 0, 1, 0.85), (9, 2, 3, 0.95), (10, 1, 1, 0.99)])
    second = predict([(7, 0, 1, 0.7), (8, 0, 0, 0.8), (9, 2, 2, 0.9), (11, 0, 1, 0.75)])
    common, rare = list_confusions([first, second])
    assert (common.true, common.predicted, common.times, common.num_images) == (0, 1, 4, 3)
    # 7: wrong twice, 0.8 on average; 11: shown once; 8: wrong once in two.
    assert [each.index for each in common.mistakes] == [7, 11, 8]
    assert common.mistakes[0].probability == pytest.approx(0.8)
    assert [(each.num_wrong, each.num_shown) for each in common.mistakes] == [(2, 2), (1, 1), (1, 2)]
    assert (rare.true, rare.predicted, rare.times) == (2, 3, 1)
    assert rare.mistakes[0].index == 9


def test_without_mistakes_there_is_no_confusion() -> None:
    assert list_confusions([predict([(1, 0, 0, 0.9), (2, 3, 3, 0.9)])]) == ()


def test_no_more_than_asked_for() -> None:
    rng = np.random.default_rng(0)
    rows = [(n, int(rng.integers(4)), int(rng.integers(4)), 0.9) for n in range(500)]
    found = list_confusions([predict(rows)], 12)
    assert len(found) == MOST_CONFUSIONS
    assert [len(each.mistakes) for each in found] == [2] * MOST_CONFUSIONS
    assert all(before.times >= after.times for before, after in itertools.pairwise(found))


def test_a_page_of_many_blocks_shows_fewer() -> None:
    assert [count_pictures(blocks) for blocks in (1, 4, 8, 100)] == [24, 24, 12, 6]
