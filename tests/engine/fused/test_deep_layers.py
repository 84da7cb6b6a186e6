"""Batch norm, global and padded pooling, residual layers, layers without biases: fused against plain torch.nn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Dropout, GlobalPool, Pool, Residual
from bakeoff.catalog.networks.shapes import trace
from bakeoff.engine.fused.build import FusedNetwork, State, initialize, is_buffer

torch.set_num_threads(1)

NUM_IMAGES, NUM_CLASSES = 7, 5
HEAD = Dense(units=NUM_CLASSES)
Shape = tuple[int, int, int]


def conv(filters: int, stride: int = 1, **settings: Any) -> Conv:
    return Conv(filters=filters, kernel=3, stride=stride, padding="same", **settings)


BLOCK = Residual(layers=(conv(4, bias=False), BatchNorm(activation="relu"), conv(4, bias=False), BatchNorm()))
NARROWING = Residual(
    layers=(conv(6, 2, bias=False), BatchNorm(activation="tanh"), conv(6), BatchNorm()), activation="swish"
)

NETWORKS: dict[str, tuple[Shape, tuple[AnyLayer, ...]]] = {
    "batch norm after a convolution": ((6, 5, 2), (conv(4, bias=False), BatchNorm(activation="relu"), HEAD)),
    "batch norm after a dense layer": ((3, 3, 2), (Dense(units=9, bias=False), BatchNorm(activation="tanh"), HEAD)),
    "batch norm of shared images": ((5, 4, 3), (BatchNorm(momentum=0.3, epsilon=0.01), conv(4), HEAD)),
    "batch norm of shared features": ((6, 6, 3), (GlobalPool(), BatchNorm(), HEAD)),
    "batch norm before max pooling": ((8, 8, 2), (conv(4), BatchNorm(activation="relu"), Pool(), HEAD)),
    "swish batch norm before max pooling": ((8, 8, 2), (conv(4), BatchNorm(activation="swish"), Pool(), HEAD)),
    "batch norm before average pooling": (
        (8, 8, 2),
        (conv(4), BatchNorm(activation="relu"), Pool(kind="average"), HEAD),
    ),
    "global average": ((6, 5, 2), (conv(4), GlobalPool(), HEAD)),
    "global maximum": ((6, 5, 2), (conv(4), GlobalPool(kind="max"), Dense(units=6, activation="relu"), HEAD)),
    "global average of shared images": ((6, 5, 3), (GlobalPool(), HEAD)),
    "no biases": ((5, 5, 2), (conv(3, bias=False), Dense(units=6, bias=False), Dense(units=5, bias=False))),
    "shared dense without biases": ((3, 3, 2), (Dense(units=6, bias=False, activation="relu"), HEAD)),
    **{
        f"{kind} pool {size}, stride {stride}, padded": (
            (9, 8, 2),
            (conv(3, activation="tanh"), Pool(kind=kind, size=size, stride=stride, padding="same"), HEAD),
        )
        for kind in ("max", "average")
        for size, stride in ((2, None), (3, 2), (3, 1), (2, 3), (5, 4))
    },
    "pool larger than the image, padded": ((2, 2, 2), (conv(3), Pool(size=5, stride=5, padding="same"), HEAD)),
    "residual": ((6, 5, 3), (conv(4), BLOCK, HEAD)),
    "residual of shared images": ((6, 5, 4), (BLOCK, HEAD)),
    "residual that changes the shape": ((7, 6, 3), (conv(4), BLOCK, NARROWING, GlobalPool(), HEAD)),
    "residual that changes shared images": ((7, 6, 3), (NARROWING, HEAD)),
    "residual with a pool": (
        (8, 8, 2),
        (conv(4), Residual(layers=(conv(4, activation="relu"), Pool(), conv(4)), activation="linear"), HEAD),
    ),
    "residual of shared images that only pools": (
        (8, 8, 2),
        (Residual(layers=(Pool(kind="average", size=3, stride=1, padding="same"),)), conv(4), HEAD),
    ),
    "residual of dense layers": (
        (3, 3, 1),
        (Dense(units=8), Residual(layers=(Dense(units=5, activation="relu"), Dense(units=8))), HEAD),
    ),
    "residual of shared features": (
        (4, 4, 6),
        (GlobalPool(), Residual(layers=(Dense(units=6), BatchNorm()), activation="tanh"), HEAD),
    ),
}


def draw_states(layers: tuple[AnyLayer, ...], shape: Shape, num_members: int) -> list[State]:
    """Draw members that differ, with biases, scales and running averages that matter."""
    choice = InitializerChoice(name="he_normal", where="everywhere")
    states = [initialize(layers, shape, choice, seed) for seed in range(num_members)]
    generator = torch.Generator().manual_seed(0)
    for state in states:
        for name, tensor in state.items():
            if tensor.dim() == 1:
                state[name] = tensor + torch.rand(tensor.shape, generator=generator) / 5
    return states


def draw_batch(shape: Shape, num_images: int = NUM_IMAGES, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images_NHWC = torch.rand((num_images, *shape), generator=generator)
    return images_NHWC.permute(0, 3, 1, 2), torch.randint(NUM_CLASSES, (num_images,), generator=generator)


def train(network: FusedNetwork, images: Tensor, labels: Tensor) -> Tensor:
    """Return the logits in training; leave every member's gradients of its own mean loss in its parameters."""
    network.clear_gradients()
    logits_KNL = network(images.to(network.dtype), network.cast(), torch.Generator().manual_seed(0))
    sum(F.cross_entropy(logits, labels) for logits in logits_KNL).backward()  # type: ignore[union-attr]
    network.share_gradients()
    return logits_KNL.detach()


def evaluate(network: FusedNetwork, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images, network.cast())


@pytest.mark.parametrize(("num_members", "in_turn"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_and_evaluation_are_those_of_plain_modules(
    name: str, num_members: int, in_turn: bool, plain_network: Any
) -> None:
    shape, layers = NETWORKS[name]
    states = draw_states(layers, shape, num_members)
    images, labels = draw_batch(shape)
    network = FusedNetwork([layers] * num_members, states, in_turn=in_turn)
    logits_KNL = train(network, images, labels)
    evaluated_KNL = evaluate(network, images)
    for k, state in enumerate(states):
        plain = plain_network(layers, shape, state).train()
        expected = plain(images.contiguous())
        F.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(logits_KNL[k], expected.detach(), rtol=1e-4, atol=1e-5)
        gradients = plain.gradients()
        assert gradients.keys() == network.members[k].keys()
        for key, parameter in network.members[k].items():
            torch.testing.assert_close(parameter.grad, gradients[key], rtol=1e-3, atol=1e-5)
        averages = plain.averages()
        assert averages.keys() == network.member_buffers[k].keys()
        for key, buffer in network.member_buffers[k].items():
            torch.testing.assert_close(buffer, averages[key], rtol=1e-5, atol=1e-6)
            assert not torch.equal(buffer, state[key]), "training moves the running averages, and not the caller's"
        torch.testing.assert_close(evaluated_KNL[k], plain.eval()(images.contiguous()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_state_holds_exactly_what_the_layers_need(name: str) -> None:
    shape, layers = NETWORKS[name]
    state = initialize(layers, shape, InitializerChoice(), 3)
    num_parameters = sum(tensor.numel() for key, tensor in state.items() if not is_buffer(key))
    assert num_parameters == sum(step.num_parameters for step in trace(layers, shape))
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    network = FusedNetwork([layers], [state])
    assert {*network.stacked} | {*network.stacked_buffers} == {*state}


def test_names_inside_a_residual_layer() -> None:
    shape, layers = NETWORKS["residual that changes the shape"]
    names = [name for name in initialize(layers, shape, InitializerChoice(), 0) if name.startswith("2.")]
    assert names == [
        "2.0.weight",
        *(f"2.1.{what}" for what in ("weight", "bias", "mean", "variance")),
        "2.2.weight",
        "2.2.bias",
        *(f"2.3.{what}" for what in ("weight", "bias", "mean", "variance")),
        "2.shortcut.weight",
        *(f"2.shortcut_norm.{what}" for what in ("weight", "bias", "mean", "variance")),
    ]


@pytest.mark.parametrize("draw", [0, 1, 2])
def test_no_two_layers_share_a_stream(draw: int) -> None:
    block = Residual(layers=tuple(conv(4, 2 if number == 0 else 1) for number in range(4)))
    choice = InitializerChoice(name="random_normal", draw=draw)  # alike whatever the fans, so that streams show
    state = initialize((conv(4), block, block, conv(4)), (28, 28, 4), choice, 0)
    others = initialize((conv(4), block), (28, 28, 4), choice.model_copy(update={"draw": draw + 1}), 0)
    values = [value.flatten()[:16] for found in (state, others) for value in found.values() if value.dim() == 4]
    assert len({tuple(value.tolist()) for value in values}) == len(values) == 18


def test_layers_around_a_residual_one_draw_as_ever() -> None:
    shape, layers = NETWORKS["residual"]
    other = (layers[0], conv(4, bias=False), layers[2])
    one, two = (initialize(found, shape, InitializerChoice(), 3) for found in (layers, other))
    assert all(torch.equal(one[key], two[key]) for key in ("0.weight", "2.weight"))


@pytest.mark.parametrize("name", NETWORKS)
def test_members_may_have_images_of_their_own(name: str) -> None:
    shape, layers = NETWORKS[name]
    states = draw_states(layers, shape, 3)
    batches = [draw_batch(shape, seed=seed)[0] for seed in range(3)]
    labels = draw_batch(shape)[1]
    together = FusedNetwork([layers] * 3, states)
    logits_KNL = train(together, torch.stack(batches), labels)
    for k, state in enumerate(states):
        alone = FusedNetwork([layers], [state])
        for images in (batches[k], batches[k].unsqueeze(0)):
            logits = train(FusedNetwork([layers], [state]), images, labels)[0]
            torch.testing.assert_close(logits_KNL[k], logits, rtol=1e-4, atol=1e-5)
        train(alone, batches[k], labels)
        for key, parameter in alone.members[0].items():
            torch.testing.assert_close(together.members[k][key].grad, parameter.grad, rtol=1e-3, atol=1e-5)


def test_dropout_inside_a_residual_layer_keeps_each_members_rate() -> None:
    def make(rate: float) -> tuple[AnyLayer, ...]:
        return conv(4), Residual(layers=(conv(4), Dropout(rate=rate), conv(4))), HEAD

    images, labels = draw_batch((6, 6, 2))
    rates = (0.0, 0.3, 0.8)
    states = draw_states(make(0.0), (6, 6, 2), 3)
    together = train(FusedNetwork([make(rate) for rate in rates], states), images, labels)
    for k, rate in enumerate(rates):
        alone = train(FusedNetwork([make(rate)], [states[k]]), images, labels)[0]
        torch.testing.assert_close(together[k], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[2], evaluate(FusedNetwork([make(0.8)], [states[2]]), images)[0])


@pytest.mark.parametrize(
    "layers",
    [
        (Dense(units=4), BatchNorm(), HEAD),
        (conv(3), GlobalPool(), BatchNorm(), HEAD),
        (Pool(size=4), BatchNorm(), HEAD),
    ],
)
def test_a_batch_of_one_value_a_channel_is_normalized_as_in_evaluation(layers: tuple[AnyLayer, ...]) -> None:
    (state,) = draw_states(layers, (4, 4, 2), 1)
    network = FusedNetwork([layers], [state])
    images, labels = draw_batch((4, 4, 2), 1)
    expected = evaluate(network, images)
    torch.testing.assert_close(train(network, images, labels), expected)
    assert all(torch.equal(buffer, state[key]) for key, buffer in network.member_buffers[0].items())
    assert all(parameter.grad.isfinite().all() for parameter in network.members[0].values())


@pytest.mark.parametrize("name", ["residual that changes the shape", "batch norm after a dense layer"])
def test_bfloat16_keeps_batch_norm_exact(name: str) -> None:
    shape, layers = NETWORKS[name]
    states = draw_states(layers, shape, 3)
    images, labels = draw_batch(shape, 64)
    exact, fast = FusedNetwork([layers] * 3, states), FusedNetwork([layers] * 3, states, torch.bfloat16)
    expected, logits = train(exact, images, labels), train(fast, images, labels)
    assert logits.dtype == torch.float32
    assert (logits - expected).norm() < 0.05 * expected.norm()
    assert {stack.dtype for stack in fast.stacked_buffers.values()} == {torch.float32}
    kept = {key.rpartition(".")[0] for key in fast.stacked_buffers}
    for key, value in fast.cast().items():
        assert value.dtype == (torch.float32 if key.rpartition(".")[0] in kept else torch.bfloat16)
    for key, buffer in fast.member_buffers[1].items():
        torch.testing.assert_close(buffer, exact.member_buffers[1][key], rtol=0.02, atol=0.02)
    for key, parameter in fast.members[1].items():
        assert parameter.grad.dtype == torch.float32
        assert (parameter.grad - exact.members[1][key].grad).norm() < 0.3 * exact.members[1][key].grad.norm() + 0.01


def test_frozen_layers_behave_as_in_evaluation_and_do_not_learn() -> None:
    layers = (conv(4), BatchNorm(activation="relu"), Dropout(rate=0.5), BLOCK, Dense(units=6), HEAD)
    states = draw_states(layers, (6, 6, 2), 2)
    images, labels = draw_batch((6, 6, 2))
    network = FusedNetwork([layers] * 2, states, frozen_layers=4)
    logits_KNL = train(network, images, labels)
    torch.testing.assert_close(logits_KNL, evaluate(FusedNetwork([layers] * 2, states), images))
    for state, member, buffers in zip(states, network.members, network.member_buffers, strict=True):
        assert {key for key, value in member.items() if value.grad is not None} == {
            "4.weight",
            "4.bias",
            "5.weight",
            "5.bias",
        }
        assert all(torch.equal(buffer, state[key]) for key, buffer in buffers.items())
    network.freeze(0)
    train(network, images, labels)
    assert all(value.grad is not None for member in network.members for value in member.values())
    assert not torch.equal(network.member_buffers[0]["1.mean"], states[0]["1.mean"])
    network.freeze(len(layers) - 1)
    train(network, images, labels)
    assert {key for key, value in network.members[0].items() if value.grad is not None} == {"5.weight", "5.bias"}


def test_frozen_layers_leave_the_gradients_behind_them_as_they_are() -> None:
    layers = (conv(4, activation="relu"), Pool(), Dense(units=6, activation="relu"), HEAD)
    states = draw_states(layers, (6, 6, 2), 2)
    images, labels = draw_batch((6, 6, 2))
    whole, part = FusedNetwork([layers] * 2, states), FusedNetwork([layers] * 2, states, frozen_layers=2)
    train(whole, images, labels)
    train(part, images, labels)
    for key in ("2.weight", "3.bias"):
        assert torch.equal(whole.members[1][key].grad, part.members[1][key].grad)


def test_buffers_are_views_of_the_stacked_ones() -> None:
    shape, layers = NETWORKS["residual"]
    network = FusedNetwork([layers] * 2, draw_states(layers, shape, 2))
    network.member_buffers[1]["1.1.mean"].fill_(3.0)
    assert network.stacked_buffers["1.1.mean"][1].tolist() == [3.0] * 4
    train(network, *draw_batch(shape))
    assert torch.equal(network.member_buffers[1]["1.1.mean"], network.stacked_buffers["1.1.mean"][1])
    assert network.member_buffers[1]["1.1.mean"].tolist() != [3.0] * 4
