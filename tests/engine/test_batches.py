from __future__ import annotations

import numpy as np

from bakeoff.data.cache import Images
from bakeoff.data.source import DataSource
from bakeoff.engine.batches import epoch_order, split_view
from bakeoff.messages import DataView

INDICES = np.array([3, 4, 7, 8, 9, 15, 16, 20, 21, 29])


def test_an_order_is_a_permutation_by_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): epoch_order(INDICES, seed, epoch) for seed in (0, 1, 2**47) for epoch in (1, 2, 3)}
    assert all(sorted(order) == list(INDICES) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == len(orders)
    assert np.array_equal(epoch_order(INDICES, 1, 2), orders[1, 2])
    assert list(INDICES) == sorted(INDICES), "the caller's indices stay as they are"


def test_every_position_is_shuffled_uniformly() -> None:
    orders = np.array([epoch_order(np.arange(5), 7, epoch) for epoch in range(2000)])
    for position in range(5):
        shares = np.bincount(orders[:, position], minlength=5) / 2000
        assert np.abs(shares - 0.2).max() < 0.04  # 4 standard deviations


def test_without_validation_all_images_train() -> None:
    pixels, labels = np.zeros((6, 2, 2, 1), np.uint8), np.zeros(6, np.int64)
    images = Images(pixels=pixels, labels=labels, class_names=("a",), fingerprint="")
    view = DataView(source=DataSource(folder="."), validation="none", fingerprint="", seed=0)
    assert [list(part) for part in split_view(images, view)] == [list(range(6))] * 2
