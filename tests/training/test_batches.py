from __future__ import annotations

import numpy as np
import pytest
import torch

from bakeoff.training.batches import epoch_order, iterate_batches

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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_hold_the_scaled_images_in_order(channels: int, dtype: torch.dtype) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (30, 4, 5, channels), dtype=np.uint8)
    labels = generator.integers(0, 10, 30)
    pixels.flags.writeable = labels.flags.writeable = False
    order = epoch_order(INDICES, 0, 1)
    batches = list(iterate_batches(pixels, labels, order, 4, dtype))
    assert [len(found) for _, found in batches] == [4, 4, 2]
    images_NCHW = torch.cat([found for found, _ in batches])
    assert images_NCHW.dtype == dtype
    assert images_NCHW.shape == (10, channels, 4, 5)
    assert all(found.is_contiguous(memory_format=torch.channels_last) for found, _ in batches)
    expected = torch.from_numpy(np.moveaxis(pixels[order], 3, 1).astype(np.float64) / 255)
    step = 2**-24 if dtype == torch.float32 else 2**-8
    assert (images_NCHW.double() - expected).abs().max() <= 2 * step
    assert torch.equal(torch.cat([found for _, found in batches]), torch.from_numpy(labels[order]))
    assert 0 <= float(images_NCHW.min()) < 0.2
    assert 0.8 < float(images_NCHW.max()) <= 1


def test_black_is_0_and_white_is_1() -> None:
    pixels = np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1)
    for dtype in (torch.float32, torch.bfloat16):
        ((found, _),) = iterate_batches(pixels, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 8, dtype)
        assert found.flatten().tolist() == [0.0, 1.0]
