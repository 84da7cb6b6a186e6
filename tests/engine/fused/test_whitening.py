"""Whitening first layers, constants, shifts with a learning rate of their own: against linear algebra and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.fusion import fusion_key
from bakeoff.catalog.networks.layers import BatchNorm, Conv, Dense, GlobalPool, Layer, Scale, Whiten
from bakeoff.catalog.networks.shapes import trace
from bakeoff.catalog.networks.whitening import whitening_filters
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.errors import NetworkError

SHAPE = (9, 8, 3)
LAYERS = (
    Whiten(activation="gelu"),
    Conv(filters=5, kernel=3, bias=False),
    BatchNorm(momentum=0.4, scale=False, shift_rate=64.0, activation="relu"),
    GlobalPool(kind="max"),
    Scale(factor=0.25),
    Dense(units=4),
)


def make_images() -> torch.Tensor:
    return torch.rand((10, 3, 9, 8), generator=torch.Generator().manual_seed(0))


def take_step(network: FusedNetwork, labels: torch.Tensor) -> None:
    network.clear_gradients()
    logits_KNL = network(make_images(), network.cast(), torch.Generator().manual_seed(0))
    torch.autograd.backward(sum(F.cross_entropy(logits, labels) for logits in logits_KNL))
    network.share_gradients()


def test_filtered_patches_are_uncorrelated_with_variance_one() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(12, 12))
    covariance = mixing @ mixing.T
    filters = whitening_filters(covariance, 1e-12).astype(np.float64)
    half = filters[:12]
    np.testing.assert_allclose(half @ covariance @ half.T, np.eye(12), atol=1e-4)
    np.testing.assert_array_equal(filters[12:], -half)


def test_epsilon_keeps_what_hardly_varies_small() -> None:
    filters = whitening_filters(np.diag([1.0, 1e-8]), 1e-2)
    np.testing.assert_allclose(np.abs(filters[:2]), np.diag([1 / np.sqrt(1.01), 1 / np.sqrt(0.01 + 1e-8)]), rtol=1e-6)


def test_a_whitening_layer_is_a_convolution_whose_filters_get_no_gradient() -> None:
    state = initialize(LAYERS, SHAPE, InitializerChoice(), 0)
    assert state["0.filters"].shape == (24, 3, 2, 2)
    network = FusedNetwork([LAYERS], [state])
    assert "0.filters" in network.member_buffers[0]
    assert set(network.members[0]) == {"0.bias", "1.weight", "2.bias", "5.weight", "5.bias"}
    images = make_images()
    x = F.gelu(F.conv2d(images, state["0.filters"], state["0.bias"]))
    x = F.batch_norm(F.conv2d(x, state["1.weight"]), torch.zeros(5), torch.ones(5), None, state["2.bias"])
    expected = F.linear(F.relu(x).amax((2, 3)) * 0.25, state["5.weight"], state["5.bias"])
    with torch.no_grad():
        found = network(images, network.cast())[0]
    torch.testing.assert_close(found, expected)


def test_members_with_whitening_fused_are_the_members_alone() -> None:
    states = [initialize(LAYERS, SHAPE, InitializerChoice(), seed) for seed in range(3)]
    labels = torch.arange(10) % 4
    fused = FusedNetwork([LAYERS] * 3, states)
    take_step(fused, labels)
    for state, member in zip(states, fused.members, strict=True):
        alone = FusedNetwork([LAYERS], [state])
        take_step(alone, labels)
        for name, parameter in alone.members[0].items():
            torch.testing.assert_close(member[name].grad, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rate", [1.0, 64.0])
def test_a_shifts_rate_is_a_group_of_its_own_in_torch(rate: float) -> None:
    """Momentum, Nesterov and weight decay included: `rate` times the learning rate, 1 / `rate` times the decay."""
    layers = (
        Conv(filters=5, kernel=3, bias=False),
        BatchNorm(scale=False, shift_rate=rate),
        GlobalPool(),
        Dense(units=4),
    )
    state = initialize(layers, SHAPE, InitializerChoice(), 0)
    network = FusedNetwork([layers], [state])
    settings = {"momentum": 0.85, "nesterov": True}
    ours = torch.optim.SGD(network.members[0].values(), lr=0.01, weight_decay=0.5, **settings)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, bias=False), torch.nn.BatchNorm2d(5), torch.nn.Linear(5, 4))
    conv, norm, head = module
    with torch.no_grad():
        conv.weight.copy_(state["0.weight"])
        head.weight.copy_(state["3.weight"])
        head.bias.copy_(state["3.bias"])
    groups = [
        {"params": [conv.weight, head.weight, head.bias], "weight_decay": 0.5},
        {"params": [norm.bias], "lr": 0.01 * rate, "weight_decay": 0.5 / rate},
    ]
    theirs = torch.optim.SGD(groups, lr=0.01, **settings)
    labels = torch.arange(10) % 4
    for _ in range(4):
        take_step(network, labels)
        ours.step()
        theirs.zero_grad()
        F.cross_entropy(head(norm(conv(make_images())).mean((2, 3))), labels).backward()
        theirs.step()
    torch.testing.assert_close(network.members[0]["1.bias"] * rate**0.5, norm.bias, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network.members[0]["0.weight"], conv.weight, rtol=1e-4, atol=1e-6)


def test_shapes_parameters_and_places() -> None:
    shapes = trace(LAYERS, SHAPE)
    assert [shape.output_shape for shape in shapes] == [(8, 7, 24), (6, 5, 5), (6, 5, 5), (5,), (5,), (4,)]
    assert sum(shape.num_parameters for shape in shapes) == 24 + 5 * 24 * 9 + 5 + 4 * 5 + 4
    assert shapes[0].num_multiply_adds == 24 * 12 * 8 * 7
    with pytest.raises(NetworkError, match=r"layer 2 \(whiten, kernel 2\)"):
        trace((Conv(filters=2, kernel=3), Whiten()), SHAPE)
    with pytest.raises(NetworkError, match="at most 8"):
        trace((Whiten(kernel=9),), SHAPE)


def test_what_came_later_changes_no_identity() -> None:
    """A trial's id is the hash of its recipe: batch norms of before must be written as they were."""
    assert set(BatchNorm().model_dump()) == {"type", "momentum", "epsilon", "activation"}
    changed = BatchNorm(scale=False, shift_rate=2.0)
    assert changed.model_dump() == {**BatchNorm().model_dump(), "scale": False, "shift_rate": 2.0}
    adapter: TypeAdapter[Layer] = TypeAdapter(Layer)
    assert adapter.validate_python(changed.model_dump()) == changed
    assert fusion_key((changed,)) != fusion_key((BatchNorm(),))
