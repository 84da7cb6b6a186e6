"""Every registered network of layer records trains a step: alone, fused and as plain torch modules alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import AnyLayer
from bakeoff.catalog.networks.named import NETWORKS, LayerNetwork, Layers, NetworkRecord, expand
from bakeoff.engine.fused.build import FusedNetwork, State, initialize

torch.set_num_threads(1)

NUM_CLASSES = 5
SHAPES = [(28, 28, 1), (32, 32, 3)]
SPELLED_OUT: dict[str, Any] = {
    "layers": [
        {"type": "conv", "filters": 8, "kernel": 3, "padding": "same"},
        {"type": "batch_norm", "activation": "relu"},
        {"type": "residual", "layers": [{"type": "conv", "filters": 10, "kernel": 3, "padding": "same", "stride": 2}]},
        {"type": "pool", "size": 3, "padding": "same"},
        {"type": "global_pool"},
        {"type": "dropout", "rate": 0.2},
    ]
}


def make_network(record: NetworkRecord, **settings: object) -> LayerNetwork:
    """Return a registered network, a quarter as wide where it has a width: the arithmetic is the same."""
    if record.settings is Layers:
        return Layers(**SPELLED_OUT)
    if "width" in record.settings.model_fields:
        # Under AVX2 plain torch crashes on strided 1x1 convolutions of few channels: see engine/fused/kernels.py.
        settings["width"] = 0.5 if record.name == "resnet" else 0.25
    return record.settings(**settings)


def draw_batch(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images_NHWC = torch.rand((6, *shape), generator=generator)
    return images_NHWC.permute(0, 3, 1, 2), torch.randint(NUM_CLASSES, (6,), generator=generator)


def draw_states(layers: tuple[AnyLayer, ...], shape: tuple[int, int, int], num_members: int) -> list[State]:
    choice = InitializerChoice(name="he_normal", where="everywhere")
    return [initialize(layers, shape, choice, seed) for seed in range(num_members)]


def take_step(network: FusedNetwork, images: Tensor, labels: Tensor) -> Tensor:
    """Take a step of SGD in training, dropout included; return losses_K before it."""
    network.clear_gradients()
    logits_KNL = network(images, network.cast(), torch.Generator().manual_seed(7))
    losses_K = torch.stack([F.cross_entropy(logits, labels) for logits in logits_KNL])
    torch.autograd.backward(losses_K.sum())
    network.share_gradients()
    for member in network.members:
        torch.optim.SGD(member.values(), lr=0.01).step()
    return losses_K.detach()


def relative_distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    first, second = (torch.cat([values[name].detach().flatten() for name in one]) for values in (one, other))
    return float((first - second).norm() / first.norm())


def gradients(member: dict[str, Any]) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in member.items()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("record", NETWORKS, ids=lambda record: record.name)
def test_alone_and_fused_are_the_same_to_rounding(record: NetworkRecord, shape: tuple[int, int, int]) -> None:
    layers = expand(make_network(record), shape, NUM_CLASSES)
    states = draw_states(layers, shape, 3)
    images, labels = draw_batch(shape)
    together = FusedNetwork([layers] * 3, states)
    losses_K = take_step(together, images, labels)
    for k, state in enumerate(states):
        alone = FusedNetwork([layers], [state])
        loss = take_step(alone, images, labels)
        torch.testing.assert_close(losses_K[k], loss[0], rtol=1e-4, atol=1e-5)
        assert relative_distance(gradients(alone.members[0]), gradients(together.members[k])) < 1e-3
        assert relative_distance(alone.members[0], together.members[k]) < 1e-5
        if alone.member_buffers[0]:
            assert relative_distance(alone.member_buffers[0], together.member_buffers[k]) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("record", NETWORKS, ids=lambda record: record.name)
def test_a_step_is_that_of_plain_modules(
    record: NetworkRecord, shape: tuple[int, int, int], plain_network: Any
) -> None:
    network = make_network(record) if record.settings is Layers else make_network(record, dropout=0.0)
    layers = tuple(layer for layer in expand(network, shape, NUM_CLASSES) if layer.type != "dropout")
    (state,) = draw_states(layers, shape, 1)
    images, labels = draw_batch(shape)
    fused = FusedNetwork([layers], [state])
    loss = take_step(fused, images, labels)
    plain = plain_network(layers, shape, state).train()
    expected = F.cross_entropy(plain(images.contiguous()), labels)
    expected.backward()
    torch.testing.assert_close(loss[0], expected.detach(), rtol=1e-4, atol=1e-5)
    assert relative_distance(plain.gradients(), gradients(fused.members[0])) < 1e-3
    assert len(plain.averages()) == len(fused.member_buffers[0])
    if plain.averages():
        assert relative_distance(plain.averages(), fused.member_buffers[0]) < 1e-5


@pytest.mark.parametrize("record", NETWORKS, ids=lambda record: record.name)
def test_every_parameter_learns_and_the_loss_falls(record: NetworkRecord) -> None:
    shape = (28, 28, 1)
    layers = expand(make_network(record), shape, NUM_CLASSES)
    states = draw_states(layers, shape, 2)
    images, labels = draw_batch(shape)
    network = FusedNetwork([layers] * 2, states)
    first, *_, last = [take_step(network, images, labels) for _ in range(8)]
    assert (last < first).all()
    for state, member in zip(states, network.members, strict=True):
        assert all(not torch.equal(state[name], parameter.detach()) for name, parameter in member.items())
