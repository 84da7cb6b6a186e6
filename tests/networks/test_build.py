"""The fused network against plain torch.nn modules, member by member."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bakeoff.errors import NetworkError
from bakeoff.networks.build import FusedNetwork, State, initialize
from bakeoff.networks.initializers import INITIALIZER_NAMES, InitializerChoice, draw
from bakeoff.networks.layers import ACTIVATIONS, AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.networks.named import MLP, LeNet, ModNet1, ModNet2, expand

torch.set_num_threads(1)

NUM_IMAGES, NUM_CLASSES = 7, 5
HEAD = Dense(units=NUM_CLASSES)

MODULES: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
}


def _pad_as_keras(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _make_plain(layers: Sequence[AnyLayer], image_shape_HWC: tuple[int, int, int], state: State) -> nn.Sequential:
    """Build one member from torch's own modules, dropout left out, and give it the member's weights."""
    height, width, channels = image_shape_HWC
    plain, value = nn.Sequential(), torch.zeros(1, channels, height, width)
    for number, layer in enumerate(layers):
        parts: list[nn.Module] = []
        if isinstance(layer, Conv):
            if layer.padding == "same":
                rows, columns = (_pad_as_keras(size, layer.kernel, layer.stride) for size in value.shape[-2:])
                parts.append(nn.ZeroPad2d((*columns, *rows)))
            parts.append(nn.Conv2d(value.shape[1], layer.filters, layer.kernel, layer.stride))
        elif isinstance(layer, Pool):
            kind = nn.MaxPool2d if layer.kind == "max" else nn.AvgPool2d
            parts.append(kind(layer.size, layer.stride))
        elif isinstance(layer, Dense):
            parts += [nn.Flatten(), nn.Linear(value[0].numel(), layer.units)]
        if isinstance(layer, Conv | Dense):
            with torch.no_grad():
                parts[-1].weight.copy_(state[f"{number}.weight"])  # type: ignore[union-attr, operator]
                parts[-1].bias.copy_(state[f"{number}.bias"])  # type: ignore[union-attr, operator]
            parts[-1].number = number  # type: ignore[assignment]
            parts.append(MODULES[layer.activation]())
        for part in parts:
            plain.append(part)
            value = part(value)
    return plain


def _collect_gradients(plain: nn.Sequential) -> dict[str, Tensor]:
    """Return the gradients of a plain network under the names its member's have."""
    found = {}
    for part in plain:
        if isinstance(part, nn.Conv2d | nn.Linear):
            found[f"{part.number}.weight"], found[f"{part.number}.bias"] = part.weight.grad, part.bias.grad
    return found  # type: ignore[return-value]


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


@pytest.mark.parametrize("num_members", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_are_those_of_plain_modules(name: str, num_members: int) -> None:
    shape, layers = NETWORKS[name]
    states = _draw_states(layers, shape, num_members)
    images, labels = _draw_batch(shape)
    network = FusedNetwork([layers] * num_members, states)
    logits_KNL = _run_fused(network, images, labels)
    assert logits_KNL.shape == (num_members, NUM_IMAGES, NUM_CLASSES)
    for state, logits, member in zip(states, logits_KNL, network.members, strict=True):
        plain = _make_plain(layers, shape, state)
        expected = plain(images.contiguous())
        F.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(logits, expected.detach(), rtol=1e-5, atol=2e-6)
        gradients = _collect_gradients(plain)
        assert gradients.keys() == member.keys()
        for key, parameter in member.items():
            torch.testing.assert_close(parameter.grad, gradients[key], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("pool", [Pool(kind="max"), Pool(kind="average"), Pool(kind="max", size=3, stride=1)])
@pytest.mark.parametrize("activation", MODULES)
def test_an_activation_acts_before_the_pooling(activation: str, pool: Pool) -> None:
    # Weights large enough for the parts of swish and gelu that fall, where maximum and activation do not commute.
    layers = (Conv(filters=3, kernel=3, activation=activation), pool, HEAD)
    states = _draw_states(layers, (8, 8, 2), 2)
    images, labels = _draw_batch((8, 8, 2))
    for state in states:
        state["0.weight"] *= 4
    network = FusedNetwork([layers] * 2, states)
    logits_KNL = _run_fused(network, images, labels)
    for state, logits, member in zip(states, logits_KNL, network.members, strict=True):
        plain = _make_plain(layers, (8, 8, 2), state)
        expected = plain(images.contiguous())
        F.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(logits, expected.detach(), rtol=1e-5, atol=1e-5)
        for key, gradient in _collect_gradients(plain).items():
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
    with pytest.raises(NetworkError, match="cannot be fused"):
        FusedNetwork(members, states)


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


@pytest.mark.parametrize("name", [name for name in INITIALIZER_NAMES if name != "glorot_uniform"])
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
