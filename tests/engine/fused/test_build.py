"""The fused network against plain torch.nn modules, member by member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.initializers import INITIALIZERS, InitializerChoice, draw
from bakeoff.catalog.networks.layers import ACTIVATIONS, ActivationName, AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import MLP, LeNet, ModNet1, ModNet2, expand
from bakeoff.engine.fused.build import FusedNetwork, State, initialize
from bakeoff.errors import NetworkError

torch.set_num_threads(1)

NUM_IMAGES, NUM_CLASSES = 7, 5
HEAD = Dense(units=NUM_CLASSES)


def _draw_states(layers: Sequence[AnyLayer], shape: tuple[int, int, int], num_members: int) -> list[State]:
    """Draw members that differ, with biases that matter."""
    states = [
        initialize(layers, shape, InitializerChoice(name="he_normal", where="everywhere"), seed)
        for seed in range(num_members)
    ]
    generator = torch.Generator().manual_seed(0)
    for state in states:
        for name in state:
            if name.endswith("bias"):
                state[name] = torch.randn(state[name].shape, generator=generator) / 10
    return states


def _draw_batch(shape: tuple[int, int, int], num_images: int = NUM_IMAGES) -> tuple[Tensor, Tensor]:
    """Return images in [0, 1], channels-last in memory, and labels."""
    generator = torch.Generator().manual_seed(1)
    images_NHWC = torch.rand((num_images, *shape), generator=generator)
    return images_NHWC.permute(0, 3, 1, 2), torch.randint(NUM_CLASSES, (num_images,), generator=generator)


def _run_fused(network: FusedNetwork, images: Tensor, labels: Tensor) -> Tensor:
    """Return the logits; leave every member's gradients of its own mean loss in its parameters."""
    network.clear_gradients()
    logits_KNL = network(images.to(network.dtype), network.cast())
    sum(F.cross_entropy(logits, labels) for logits in logits_KNL).backward()  # type: ignore[union-attr]
    network.share_gradients()
    return logits_KNL.detach()


NETWORKS: dict[str, tuple[tuple[int, int, int], tuple[AnyLayer, ...]]] = {
    "valid": ((8, 8, 3), (Conv(filters=4, kernel=3), HEAD)),
    "same": ((8, 8, 3), (Conv(filters=4, kernel=5, padding="same"), HEAD)),
    "same, even kernel": ((7, 8, 2), (Conv(filters=4, kernel=4, padding="same"), HEAD)),
    "same, strided, even size": ((8, 8, 2), (Conv(filters=4, kernel=3, stride=2, padding="same"), HEAD)),
    "same, lopsided in rows only": ((8, 7, 2), (Conv(filters=4, kernel=3, stride=2, padding="same"), HEAD)),
    "same, stride beyond kernel": ((8, 9, 2), (Conv(filters=4, kernel=2, stride=3, padding="same"), HEAD)),
    "valid, strided": ((9, 8, 1), (Conv(filters=4, kernel=3, stride=2), HEAD)),
    "one filter": ((6, 6, 1), (Conv(filters=1, kernel=3), Conv(filters=1, kernel=2), HEAD)),
    "grouped, lopsided": (
        (9, 8, 3),
        (
            Conv(filters=4, kernel=2, padding="same", activation="relu"),
            Conv(filters=6, kernel=4, stride=2, padding="same", activation="tanh"),
            Conv(filters=2, kernel=3, padding="same"),
            HEAD,
        ),
    ),
    "average pooling": ((9, 9, 2), (Conv(filters=4, kernel=2), Pool(kind="average"), HEAD)),
    "max pooling": ((9, 9, 2), (Conv(filters=4, kernel=3), Pool(kind="max"), HEAD)),
    "overlapping pools": ((9, 8, 2), (Conv(filters=4, kernel=2), Pool(size=3, stride=2), HEAD)),
    "pool with gaps": ((9, 8, 2), (Pool(kind="average", size=2, stride=3), Conv(filters=4, kernel=2), HEAD)),
    "pool of shared images": ((8, 8, 3), (Pool(), HEAD)),
    "softmax regression": ((4, 4, 2), (HEAD,)),
    "mlp": ((4, 4, 2), (Dense(units=9, activation="relu"), Dense(units=6, activation="tanh"), HEAD)),
    "dropout left out": ((6, 6, 1), (Dropout(rate=0.5), Conv(filters=3, kernel=3), Dropout(rate=0.5), HEAD)),
    "lenet": ((28, 28, 1), expand(LeNet(), (28, 28, 1), NUM_CLASSES)),
    "modnet1": ((32, 32, 3), expand(ModNet1(filters=(4, 6, 8), units=(9,)), (32, 32, 3), NUM_CLASSES)),
    "modnet2": ((16, 16, 3), expand(ModNet2(filters=(4, 3, 6, 5), units=(9,)), (16, 16, 3), NUM_CLASSES)),
    **{
        f"activation {record.name}": (
            (5, 5, 2),
            (Conv(filters=3, kernel=2, activation=record.name), Dense(units=4, activation=record.name), HEAD),
        )
        for record in ACTIVATIONS
    },
}


@pytest.mark.parametrize(("num_members", "in_turn"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_are_those_of_plain_modules(
    name: str, num_members: int, in_turn: bool, plain_network: Any
) -> None:
    shape, layers = NETWORKS[name]
    states = _draw_states(layers, shape, num_members)
    images, labels = _draw_batch(shape)
    network = FusedNetwork([layers] * num_members, states, in_turn=in_turn)
    logits_KNL = _run_fused(network, images, labels)
    assert logits_KNL.shape == (num_members, NUM_IMAGES, NUM_CLASSES)
    for state, logits, member in zip(states, logits_KNL, network.members, strict=True):
        plain = plain_network(layers, shape, state)
        expected = plain(images.contiguous())
        F.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(logits, expected.detach(), rtol=1e-5, atol=2e-6)
        gradients = plain.gradients()
        assert gradients.keys() == member.keys()
        for key, parameter in member.items():
            torch.testing.assert_close(parameter.grad, gradients[key], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("pool", [Pool(kind="max"), Pool(kind="average"), Pool(kind="max", size=3, stride=1)])
@pytest.mark.parametrize("activation", get_args(ActivationName))
def test_an_activation_acts_before_the_pooling(activation: str, pool: Pool, plain_network: Any) -> None:
    # Weights large enough for the parts of swish and gelu that fall, where maximum and activation do not commute.
    layers = (Conv(filters=3, kernel=3, activation=activation), pool, HEAD)
    states = _draw_states(layers, (8, 8, 2), 2)
    images, labels = _draw_batch((8, 8, 2))
    for state in states:
        state["0.weight"] *= 4
    network = FusedNetwork([layers] * 2, states)
    logits_KNL = _run_fused(network, images, labels)
    for state, logits, member in zip(states, logits_KNL, network.members, strict=True):
        plain = plain_network(layers, (8, 8, 2), state)
        expected = plain(images.contiguous())
        F.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(logits, expected.detach(), rtol=1e-5, atol=1e-5)
        for key, gradient in plain.gradients().items():
            torch.testing.assert_close(member[key].grad, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["grouped, lopsided", "mlp", "lenet", "modnet1", "modnet2"])
def test_bfloat16_is_near(name: str) -> None:
    shape, layers = NETWORKS[name]
    states = _draw_states(layers, shape, 3)
    images, labels = _draw_batch(shape, 32)
    exact, fast = FusedNetwork([layers] * 3, states), FusedNetwork([layers] * 3, states, torch.bfloat16)
    expected, logits = _run_fused(exact, images, labels), _run_fused(fast, images, labels)
    assert logits.dtype == torch.float32
    assert (logits - expected).norm() < 0.03 * expected.norm()
    distances = []
    for one, other in zip(exact.members, fast.members, strict=True):
        assert all(parameter.dtype == parameter.grad.dtype == torch.float32 for parameter in other.values())
        first, second = (torch.cat([p.grad.flatten() for p in member.values()]) for member in (one, other))
        distances.append(float((first - second).norm() / first.norm()))
    # A rounded value that wins another max-pool window moves a small network's whole gradient.
    assert max(distances) < 0.5
    assert sorted(distances)[1] < 0.15


def test_same_padding_puts_the_odd_pixel_after() -> None:
    # Sums of 3x3 windows of ones on a 4x4 image, stride 2: TensorFlow pads nothing before and one pixel after.
    layers = (Conv(filters=1, kernel=3, stride=2, padding="same"), Dense(units=4))
    state = {
        "0.weight": torch.ones(1, 1, 3, 3),
        "0.bias": torch.zeros(1),
        "1.weight": torch.eye(4),
        "1.bias": torch.zeros(4),
    }
    network = FusedNetwork([layers], [state])
    assert network(torch.ones(1, 1, 4, 4), network.cast()).flatten().tolist() == [9, 6, 6, 4]


def test_members_are_views_that_optimizers_can_move_apart() -> None:
    shape, layers = NETWORKS["lenet"]
    states = _draw_states(layers, shape, 3)
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in states]
    network = FusedNetwork([layers] * 3, states)
    _run_fused(network, *_draw_batch(shape))
    torch.optim.SGD(network.members[1].values(), lr=0.5).step()
    for k, state in enumerate(before):
        for name, tensor in state.items():
            moved = tensor - 0.5 * network.members[k][name].grad if k == 1 else tensor
            torch.testing.assert_close(network.stacked[name][k].detach(), moved)
            assert torch.equal(states[k][name], tensor), "the caller's tensors must stay as they are"


def test_a_second_batch_forgets_the_first_ones_gradients() -> None:
    shape, layers = NETWORKS["mlp"]
    network = FusedNetwork([layers] * 2, _draw_states(layers, shape, 2))
    images, labels = _draw_batch(shape)
    _run_fused(network, images[:3], labels[:3])
    _run_fused(network, images, labels)
    again = {name: parameter.grad.clone() for name, parameter in network.members[1].items()}
    _run_fused(network, images, labels)
    assert all(torch.equal(network.members[1][name].grad, gradient) for name, gradient in again.items())


def test_different_networks_are_refused() -> None:
    members = [(Dense(units=3), HEAD), (Dense(units=3, activation="relu"), HEAD)]
    states = [_draw_states(layers, (2, 2, 1), 1)[0] for layers in members]
    with pytest.raises(NetworkError, match="be fused"):
        FusedNetwork(members, states)


# First weights.

SHAPE = (8, 8, 1)
LENET = expand(LeNet(padding="same", kernel=3), SHAPE, 10)


def _dense_names(layers: Sequence[AnyLayer]) -> list[str]:
    return [f"{number}.weight" for number, layer in enumerate(layers) if isinstance(layer, Dense)]


def test_first_weights_have_torchs_shapes_and_zero_biases() -> None:
    state = initialize(LENET, SHAPE, InitializerChoice(), 3)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {
        "0.weight": (6, 1, 3, 3),
        "0.bias": (6,),
        "2.weight": (16, 6, 3, 3),
        "2.bias": (16,),
        "4.weight": (120, 64),
        "4.bias": (120,),
        "5.weight": (84, 120),
        "5.bias": (84,),
        "6.weight": (10, 84),
        "6.bias": (10,),
    }
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert all((tensor != 0).any() != name.endswith("bias") for name, tensor in state.items())


def test_arms_with_one_initializer_start_from_the_same_weights() -> None:
    first = initialize(LENET, SHAPE, InitializerChoice(name="he_normal"), 3)
    again = initialize(LENET, SHAPE, InitializerChoice(name="he_normal"), 3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    # What else an arm varies leaves the layers that stay alike untouched.
    wider = (LENET[0], LENET[1], LENET[2].model_copy(update={"activation": "relu"}), *LENET[3:5], Dense(units=7), HEAD)
    varied = initialize(wider, SHAPE, InitializerChoice(name="he_normal"), 3)
    assert all(torch.equal(first[f"{number}.weight"], varied[f"{number}.weight"]) for number in (0, 2, 4))


def test_seeds_and_layers_draw_apart() -> None:
    layers = (Dense(units=16), Dense(units=16), Dense(units=16))
    weights = [
        tensor
        for seed in (0, 1, 2**40)
        for name, tensor in initialize(layers, (4, 4, 1), InitializerChoice(), seed).items()
        if name.endswith("weight")
    ]
    for number, one in enumerate(weights):
        for other in weights[:number]:
            correlation = np.corrcoef(one.flatten().numpy(), other.flatten().numpy())[0, 1]
            assert abs(correlation) < 0.3


def test_no_layer_shares_the_stream_of_the_replicate_itself() -> None:
    # default_rng(s) and default_rng([s, 0]) are one stream; the replicate's own draws the split.
    layers = (Dense(units=16), Dense(units=16))
    state = initialize(layers, (4, 4, 1), InitializerChoice(), 3)
    for name in _dense_names(layers):
        own = torch.from_numpy(draw("glorot_uniform", tuple(state[name].shape), np.random.default_rng(3)))
        assert not torch.equal(state[name], own)


@pytest.mark.parametrize("name", [name for name in INITIALIZERS.names if name != "glorot_uniform"])
def test_where_decides_which_layers_take_the_initializer(name: str) -> None:
    default = initialize(LENET, SHAPE, InitializerChoice(), 3)
    convolutions = initialize(LENET, SHAPE, InitializerChoice(name=name, where="convolutions"), 3)
    everywhere = initialize(LENET, SHAPE, InitializerChoice(name=name, where="everywhere"), 3)
    for key in ("0.weight", "2.weight"):
        assert torch.equal(convolutions[key], everywhere[key])
        assert not torch.equal(convolutions[key], default[key])
    for key in _dense_names(LENET):
        assert torch.equal(convolutions[key], default[key])
        assert not torch.equal(everywhere[key], default[key])


def test_mlp_takes_glorot_unless_told_everywhere() -> None:
    layers = expand(MLP(units=(9,)), SHAPE, 10)
    glorot = initialize(layers, SHAPE, InitializerChoice(), 3)
    assert all(
        torch.equal(glorot[n], t) for n, t in initialize(layers, SHAPE, InitializerChoice(name="orthogonal"), 3).items()
    )
