"""Bodies from torchvision, timm and the user, and networks of a body and a head, against plain torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import Conv, Dense, Pool
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.networks.user_code import hash_code
from bakeoff.engine.fused import modules as modules_room
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.engine.fused.module_network import FrozenBody, FrozenLayers, ModuleNetwork, first_state, split_state
from bakeoff.engine.fused.modules import Body, build_body
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.errors import NetworkError

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

TORCHVISION_NAMES = tuple(
    f"torchvision:{name}"
    for name in ("mobilenet_v2", "densenet121", "resnet18", "resnet50", "inception_v3", "vgg16", "alexnet")
)
"""One of each family that has been here from the beginning; all are in test_torchvision.py."""
NUM_CLASSES = 5
SMALL = OutsideNetwork(name="torchvision:alexnet")

MakeUser = Callable[[str], OutsideNetwork]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_user(write_module: Callable[[str, str], None]) -> MakeUser:
    """Write a class body as a module of the user's: `make_user("def forward(self, x): ...")`."""

    def make(source: str) -> OutsideNetwork:
        write_module("users_nets", f"import torch\nfrom torch import nn\n{source}\n")
        return OutsideNetwork(name="users_nets:Net")

    return make


def make_network(network: OutsideNetwork, shape: tuple[int, int, int], **rest: Any) -> ModuleNetwork:
    body = build_body(network, shape, seed=7)
    head = network.make_head(NUM_CLASSES)
    return ModuleNetwork(body, head, first_state(body, head, InitializerChoice(), 7), **rest)


def draw_images(num_images: int, size: int, channels: int) -> Tensor:
    return torch.rand(num_images, channels, size, size, generator=torch.Generator().manual_seed(3))


def step(network: ModuleNetwork, images: Tensor, labels: Tensor, seed: int = 11) -> Tensor:
    network.clear_gradients()
    logits = network(images, network.cast(), torch.Generator().manual_seed(seed))
    F.cross_entropy(logits[0], labels).backward()
    network.share_gradients()
    return logits.detach()


@pytest.mark.parametrize("name", TORCHVISION_NAMES)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_every_torchvision_network_trains_a_step(name: str, size: int, channels: int) -> None:
    network = make_network(OutsideNetwork(name=name), (size, size, channels))
    images, labels = draw_images(4, size, channels), torch.arange(4)
    before = {key: value.detach().clone() for key, value in network.members[0].items()}
    first = step(network, images, labels)
    assert first.shape == (1, 4, NUM_CLASSES)
    assert first.dtype == torch.float32
    assert first.isfinite().all()
    assert all(parameter.grad is not None for parameter in network.members[0].values())
    torch.optim.SGD(network.members[0].values(), lr=1e-3).step()
    moved = sum(not torch.equal(before[key], value) for key, value in network.members[0].items())
    assert moved > 0.9 * len(before)


def test_vgg_features_are_averaged_maps() -> None:
    body = build_body(OutsideNetwork(name="torchvision:vgg16"), (64, 64, 3)).eval()
    images = draw_images(2, 64, 3)
    with torch.no_grad():
        torch.testing.assert_close(body(images), body.network.features(images).mean((2, 3)))


def test_grey_and_small_images_are_adapted() -> None:
    body = build_body(SMALL, (28, 28, 1)).eval()
    grey = draw_images(2, 28, 1)
    enlarged = F.interpolate(grey, (63, 63), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(body(grey), body.network(enlarged))
        assert modules_room._enlarge(28, 56, 63) == (63, 126)
        assert modules_room._enlarge(70, 64, 63) == (70, 64)
    with pytest.raises(NetworkError, match="4 channels"):
        build_body(SMALL, (28, 28, 4))


def test_first_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    states = [build_body(SMALL, (28, 28, 1), seed).state() for seed in (7, 7, 8)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(states[0]["features.0.weight"], states[2]["features.0.weight"])


def test_one_step_equals_plain_torch() -> None:
    network = make_network(OutsideNetwork(name="torchvision:resnet18", units=(16,)), (32, 32, 3))
    images, labels = draw_images(6, 32, 3), torch.arange(6) % NUM_CLASSES
    body_state, head_state = split_state({**network.members[0], **network.member_buffers[0]})
    plain = import_torchvision().models.resnet18(weights=None)
    plain.fc = nn.Sequential(nn.Linear(512, 16), nn.ReLU(), nn.Linear(16, NUM_CLASSES))
    plain.load_state_dict(
        {name: value.detach().clone() for name, value in body_state.items()}
        | {f"fc.{2 * int(name[0])}.{name[2:]}": value.detach().clone() for name, value in head_state.items()}
    )
    optimizers = [torch.optim.SGD(network.members[0].values(), lr=0.05), torch.optim.SGD(plain.parameters(), lr=0.05)]
    for _ in range(2):
        logits = step(network, images, labels)
        plain.zero_grad()
        expected = plain.train()(images)
        F.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(logits[0], expected.detach(), rtol=1e-4, atol=1e-4)
        for optimizer in optimizers:
            optimizer.step()
    for name, value in plain.state_dict().items():
        if not name.startswith("fc."):
            ours = {**network.members[0], **network.member_buffers[0]}[f"body.{name}"]
            torch.testing.assert_close(ours.detach(), value, rtol=1e-3, atol=1e-4)
    evaluated = network(images, network.cast()).detach()
    torch.testing.assert_close(evaluated[0], plain.eval()(images).detach(), rtol=1e-2, atol=1e-3)


def test_a_frozen_body_stands_still_and_computes_what_the_cache_would() -> None:
    network = make_network(OutsideNetwork(name="torchvision:resnet18"), (32, 32, 3), body_frozen=True)
    images, labels = draw_images(4, 32, 3), torch.arange(4)
    before = {name: value.clone() for name, value in network.member_buffers[0].items()}
    logits = step(network, images, labels)
    grads = {name: parameter.grad for name, parameter in network.members[0].items()}
    assert all((grad is None) == name.startswith("body.") for name, grad in grads.items())
    assert all(torch.equal(value, before[name]) for name, value in network.member_buffers[0].items())
    body = FrozenBody(network.body, {**network.members[0], **network.member_buffers[0]})
    features_NF = body(images)
    assert body.num_features == 512
    assert not features_NF.requires_grad
    head = FusedNetwork([OutsideNetwork(name="a:B").make_head(NUM_CLASSES)], [split_state(network.members[0])[1]])
    cached = head(features_NF[:, :, None, None], head.cast(), torch.Generator().manual_seed(11))
    assert torch.equal(cached.detach(), logits)
    network.body_frozen = False
    step(network, images, labels)
    assert all(parameter.grad is not None for parameter in network.members[0].values())
    assert not torch.equal(network.member_buffers[0]["body.bn1.running_mean"], before["body.bn1.running_mean"])


def test_networks_that_share_a_skeleton_do_not_share_weights() -> None:
    body = build_body(SMALL, (28, 28, 1))
    head = SMALL.make_head(NUM_CLASSES)
    states = [first_state(body, head, InitializerChoice(), seed) for seed in (1, 2)]
    one, two = (ModuleNetwork(body, head, state) for state in states)
    kept = two.members[0]["body.features.0.weight"].detach().clone()
    step(one, draw_images(4, 28, 1), torch.arange(4))
    torch.optim.SGD(one.members[0].values(), lr=1.0).step()
    assert torch.equal(two.members[0]["body.features.0.weight"], kept)
    assert torch.equal(states[0]["body.features.0.weight"], body.state()["features.0.weight"])


def test_bfloat16_keeps_parameters_gradients_and_logits_in_float32() -> None:
    exact = make_network(OutsideNetwork(name="torchvision:resnet18"), (32, 32, 3))
    fast = make_network(OutsideNetwork(name="torchvision:resnet18"), (32, 32, 3), dtype=torch.bfloat16)
    images, labels = draw_images(4, 32, 3), torch.arange(4)
    # In evaluation: normalising by the statistics of four images would amplify the rounding that is compared.
    expected = exact(images, exact.cast()).detach()
    logits = fast(images.bfloat16(), fast.cast()).detach()
    assert not torch.equal(logits, expected)
    torch.testing.assert_close(logits, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))
    assert step(fast, images.bfloat16(), labels).dtype == torch.float32
    assert all(buffer.dtype != torch.bfloat16 for buffer in fast.member_buffers[0].values())
    grads = [parameter.grad for parameter in fast.members[0].values()]
    assert all(grad is not None and grad.dtype == torch.float32 for grad in grads)


def test_a_batch_of_one_image_has_no_statistics() -> None:
    network = make_network(OutsideNetwork(name="torchvision:resnet18"), (32, 32, 3))
    before = network.member_buffers[0]["body.bn1.running_mean"].clone()
    assert step(network, draw_images(1, 32, 3), torch.tensor([2])).isfinite().all()
    assert torch.equal(network.member_buffers[0]["body.bn1.running_mean"], before)
    step(network, draw_images(2, 32, 3), torch.tensor([2, 1]))
    assert not torch.equal(network.member_buffers[0]["body.bn1.running_mean"], before)


@pytest.mark.parametrize(("name", "size"), [("timm:test_resnet.r160_in1k", 28), ("timm:test_vit", 32)])
def test_timm(name: str, size: int) -> None:
    network = make_network(OutsideNetwork(name=name), (size, size, 1))
    assert step(network, draw_images(3, size, 1), torch.arange(3)).shape == (1, 3, NUM_CLASSES)
    if name == "timm:test_vit":
        assert network.body.exact_size == (160, 160)


@pytest.mark.parametrize("name", ["timm:test_resent", "timm:test_resnet.not_a_tag"])
def test_unknown_timm_networks(name: str) -> None:
    with pytest.raises(NetworkError, match=f"{name[5:]}.*'test_resnet'"):
        build_body(OutsideNetwork(name=name), (32, 32, 3))


DROPPING = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.last = nn.LazyLinear(6)
    def forward(self, x):
        return self.last(self.drop(self.norm(self.conv(x)).flatten(1)))
"""


def test_a_users_network_draws_its_dropout_from_the_given_generator(make_user: MakeUser) -> None:
    network = make_network(make_user(DROPPING), (12, 12, 1))
    assert network.body.num_features == 6
    images, labels = draw_images(4, 12, 1), torch.arange(4)
    before = torch.random.get_rng_state()
    first, again, other = (step(network, images, labels, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.rand(3)
    torch.random.set_rng_state(before)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(network(images, network.cast()), network(images, network.cast()))


def test_training_leaves_the_global_generator_alone(make_user: MakeUser) -> None:
    network = make_network(make_user(DROPPING), (12, 12, 1))
    before = torch.random.get_rng_state()
    step(network, draw_images(4, 12, 1), torch.arange(4))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_users_colour_network_gets_grey_images_repeated(make_user: MakeUser) -> None:
    colour = "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(nn.Conv2d(3, 2, 3))"
    body = build_body(make_user(colour), (8, 8, 1))
    assert body.repeat_grey
    assert body.num_features == 2 * 6 * 6


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Other(nn.Module): pass", "users_nets has no Net"),
        (
            "import nothing_of_this_name\nclass Net(nn.Module): pass",
            "there is no module users_nets .*nothing_of_this_name",
        ),
        ("1 / 0", "importing users_nets failed: ZeroDivisionError"),
        ("class Net: pass", "is not a torch module"),
        (
            "class Net(nn.Module):\n    def __init__(self, size): super().__init__()",
            "calling it without arguments failed",
        ),
        ("class Net(nn.Module):\n    def forward(self, x): return x @ x[0, 0, 0, :3]", "does not accept 8x8x1 images"),
        ("class Net(nn.Module):\n    def forward(self, x): return [x]", "returns list, not a tensor"),
        ("class Net(nn.Module):\n    def forward(self, x): return x.sum()", "for two images it returns one number"),
        (
            "class Net(nn.Module):\n    def forward(self, x): return x.sum((1, 2, 3))",
            "for two images it returns 2, not one vector per image",
        ),
    ],
)
def test_users_mistakes_are_one_line(make_user: MakeUser, source: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        build_body(make_user(source), (8, 8, 1))
    assert "\n" not in str(caught.value)


def test_a_module_that_is_nowhere() -> None:
    with pytest.raises(NetworkError, match="nowhere_at_all"):
        build_body(OutsideNetwork(name="nowhere_at_all:Net"), (8, 8, 1))


def test_code_is_hashed_without_running_it(make_user: MakeUser, tmp_path: Path) -> None:
    make_user("raise SystemExit")
    first = hash_code("users_nets:Net")
    assert first is not None
    assert len(first) == 64
    assert hash_code("users_nets:Other") == first
    make_user("raise SystemExit  # changed")
    assert hash_code("users_nets:Net") not in (first, None)
    (tmp_path / "users_package").mkdir()
    (tmp_path / "users_package" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "users_package" / "nets.py").write_text("raise SystemExit")
    assert hash_code("users_package.nets:Net") is not None
    assert hash_code("nowhere_at_all:Net") is None
    assert hash_code("users_nets.below:Net") is None


def test_frozen_layers_and_a_head_are_the_whole_network() -> None:
    layers = (Conv(filters=3, kernel=3, activation="relu"), Pool(), Dense(units=7, activation="tanh"), Dense(units=4))
    state = initialize(layers, (10, 8, 2), InitializerChoice(), 5)
    images = torch.rand(6, 2, 10, 8, generator=torch.Generator().manual_seed(0))
    whole = FusedNetwork([layers], [state])
    expected = whole(images, whole.cast()).detach()
    for num_body, num_features in ((2, 3 * 4 * 3), (3, 7)):
        body = FrozenLayers(layers[:num_body], state, num_features)
        features_NF = body(images)
        assert features_NF.shape == (6, num_features)
        assert not features_NF.requires_grad
        rest = {f"{int(name[0]) - num_body}{name[1:]}": v for name, v in state.items() if int(name[0]) >= num_body}
        head = FusedNetwork([layers[num_body:]], [rest])
        torch.testing.assert_close(head(features_NF[:, :, None, None], head.cast()).detach(), expected)


def test_bodies_have_torchvisions_own_names() -> None:
    body = build_body(OutsideNetwork(name="torchvision:resnet18"), (32, 32, 3))
    assert isinstance(body, Body)
    whole = import_torchvision().models.resnet18(weights=None).state_dict()
    assert set(whole) - set(body.state()) == {"fc.weight", "fc.bias"}
    assert set(body.state()) <= set(whole)
