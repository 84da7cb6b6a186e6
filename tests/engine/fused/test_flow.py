"""What single layers do to the value that flows through a fused network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.catalog.networks.layers import AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.engine.fused.build import FusedNetwork, State

torch.set_num_threads(1)

# Dropout. A network that is the identity but for its dropout layers shows the masks themselves.

Placed = tuple[tuple[int, int, int], tuple[AnyLayer, ...], tuple[AnyLayer, ...]]

# Where the dropout stands: the image's shape, the layers before it, the layers after it.
PLACES: dict[str, Placed] = {
    "on shared images": ((6, 5, 2), (), (Dense(units=60),)),
    "on shared features": ((1, 1, 60), (Pool(size=1),), (Dense(units=60),)),
    "after a convolution": ((6, 5, 2), (Conv(filters=2, kernel=1),), (Dense(units=60),)),
    "after a dense layer": ((6, 5, 2), (Dense(units=60),), (Dense(units=60),)),
}


def _make_identity(layers: Sequence[AnyLayer]) -> State:
    state: State = {}
    for number, layer in enumerate(layers):
        if isinstance(layer, Conv):
            state[f"{number}.weight"] = torch.eye(layer.filters)[:, :, None, None]
            state[f"{number}.bias"] = torch.zeros(layer.filters)
        elif isinstance(layer, Dense):
            state[f"{number}.weight"], state[f"{number}.bias"] = torch.eye(layer.units), torch.zeros(layer.units)
    return state


def _show_masks(
    place: str,
    rates: Sequence[float],
    num_images: int = 50,
    seed: int = 0,
    num: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return masks_KNF of members with these dropout rates: 0 where dropped, 1 / (1 - rate) elsewhere."""
    shape, before, after = PLACES[place]
    members = [(*before, *[Dropout(rate=rate)] * num, *after) for rate in rates]
    network = FusedNetwork(members, [_make_identity(layers) for layers in members], dtype)
    ones = torch.ones(num_images, *shape, dtype=dtype).permute(0, 3, 1, 2)
    return network(ones, network.cast(), torch.Generator().manual_seed(seed)).detach()


@pytest.mark.parametrize("place", PLACES)
def test_a_mask_does_not_depend_on_who_trains_beside(place: str) -> None:
    rates = (0.5, 0.2, 0.0, 0.8)
    together = _show_masks(place, rates)
    for k, rate in enumerate(rates):
        torch.testing.assert_close(together[k], _show_masks(place, [rate])[0], rtol=1e-6, atol=0)
    alike = _show_masks(place, [0.5, 0.5, 0.5])
    assert all(torch.equal(mask, alike[0]) for mask in alike)
    torch.testing.assert_close(alike[0], together[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.45, 0.7, 0.9])
def test_bfloat16_masks_are_the_same_to_the_bit(rate: float) -> None:
    # 8 bits leave room for a bias of 0.4% between one way to divide and another.
    together = _show_masks("after a dense layer", [rate, 0.5], dtype=torch.bfloat16)[0]
    alone = _show_masks("after a dense layer", [rate], dtype=torch.bfloat16)[0]
    assert torch.equal(together, alone)
    assert abs(float(alone.max()) * (1 - rate) - 1) < 2**-8


@pytest.mark.parametrize("place", PLACES)
def test_masks_are_nested_and_keep_the_mean(place: str) -> None:
    rates = (0.2, 0.5, 0.8)
    masks_KNF = _show_masks(place, rates, num_images=400)
    kept_KNF = masks_KNF > 0
    assert (kept_KNF[0] >= kept_KNF[1]).all()
    assert (kept_KNF[1] >= kept_KNF[2]).all()
    for mask, kept, rate in zip(masks_KNF, kept_KNF, rates, strict=True):
        torch.testing.assert_close(mask[kept], torch.full_like(mask[kept], 1 / (1 - rate)))
        sd_of_share = math.sqrt(rate * (1 - rate) / kept.numel())
        assert abs(float((~kept).float().mean()) - rate) < 4 * sd_of_share
        assert abs(float(mask.mean()) - 1) < 4 * sd_of_share / (1 - rate)


@pytest.mark.parametrize("place", PLACES)
def test_every_image_and_every_value_is_drawn_apart(place: str) -> None:
    dropped_NF = _show_masks(place, [0.5], num_images=400)[0] == 0
    assert abs(dropped_NF.float().mean(dim=0) - 0.5).max() < 0.15
    correlations = np.corrcoef(dropped_NF.numpy().T)
    assert np.abs(correlations - np.eye(len(correlations))).max() < 0.25
    assert len(torch.unique(dropped_NF, dim=0)) == 400


def test_a_rate_of_zero_draws_as_any_other_does() -> None:
    # Else a member's second mask would depend on whether anyone beside it has a first one.
    layers = (Dense(units=60), Dropout(rate=0.0), Dense(units=60), Dropout(rate=0.5), Dense(units=60))
    beside = (*layers[:1], Dropout(rate=0.5), *layers[2:])
    ones = torch.ones(20, 2, 6, 5)
    alone, together = (
        FusedNetwork(members, [_make_identity(layers)] * len(members)) for members in ([layers], [layers, beside])
    )
    first, second = (net(ones, net.cast(), torch.Generator().manual_seed(0))[0] for net in (alone, together))
    assert torch.equal(first, second)


def test_two_dropouts_in_a_row_draw_apart() -> None:
    kept = _show_masks("after a dense layer", [0.5], num_images=400, num=2) > 0
    assert abs(float(kept.float().mean()) - 0.25) < 0.02


@pytest.mark.parametrize("place", PLACES)
def test_gradients_pass_where_values_passed(place: str) -> None:
    shape, before, after = PLACES[place]
    members = [(*before, Dropout(rate=rate), *after) for rate in (0.3, 0.6)]
    network = FusedNetwork(members, [_make_identity(layers) for layers in members])
    ones = torch.ones(1, *shape).permute(0, 3, 1, 2)
    logits_KNF = network(ones, network.cast(), torch.Generator().manual_seed(0))
    logits_KNF.sum().backward()
    head = f"{len(members[0]) - 1}.weight"
    # d(sum of outputs) / d(head weight [o, i]) is the head's input i: the mask.
    gradient_KOI = network.stacked[head].grad
    assert torch.equal(gradient_KOI, logits_KNF.detach().expand_as(gradient_KOI))


def test_dropout_follows_its_generator() -> None:
    first, again, other = (_show_masks("after a convolution", [0.5], seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
