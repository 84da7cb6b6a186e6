"""Weights from files, trials and publishers, fitted to bodies; nothing is downloaded here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import Conv, Dense, Pool
from bakeoff.catalog.networks.named import Layers
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.transfer import FileWeights, StudyWeights, Transfer, TrialWeights
from bakeoff.engine.fused.build import State, initialize
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import build_body
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.engine.weights import fit_weights, load_weights
from bakeoff.errors import WeightsError
from bakeoff.workspace import Folders

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

RESNET = OutsideNetwork(name="torchvision:resnet18")
LAYERS = (Conv(filters=3, kernel=3), Pool(), Conv(filters=4, kernel=3), Dense(units=6), Dense(units=2))
NETWORK = Layers(layers=LAYERS)
FRESH = InitializerChoice()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "workspace")


def draw_outside(network: OutsideNetwork, seed: int, num_classes: int = 3) -> State:
    body = build_body(network, (32, 32, 3), seed)
    return first_state(body, network.make_head(num_classes), FRESH, seed)


def draw_layers(seed: int, channels: int = 1) -> State:
    return initialize(LAYERS, (16, 16, channels), FRESH, seed)


def save(path: Path, state: dict[str, Any]) -> Transfer:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return Transfer(weights=FileWeights(file=str(path)))


def whole_resnet(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    whole: nn.Module = import_torchvision().models.resnet18(weights=None)
    return whole


def assert_body_from(state: State, expected: dict[str, Tensor], drawn: State) -> None:
    """The body is as expected, the head as it was drawn."""
    for name, value in state.items():
        source = expected[name.removeprefix("body.")] if name.startswith("body.") else drawn[name]
        assert torch.equal(value, source), name
        assert value.dtype == drawn[name].dtype


@pytest.mark.parametrize(
    ("file", "dress"),
    [
        ("a.safetensors", lambda state: state),
        ("a.pt", lambda state: state),
        ("a.pth", lambda state: {f"module.{name}": value for name, value in state.items()}),
        ("a.pth", lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()}),
        ("a.ckpt", lambda state: {"epoch": 3, "state_dict": {f"model.{name}": v for name, v in state.items()}}),
        ("a.pt", lambda state: {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}),
    ],
)
def test_torchvisions_own_files_fit(
    tmp_path: Path, folders: Folders, file: str, dress: Callable[[dict[str, Tensor]], dict[str, Any]]
) -> None:
    given, drawn = whole_resnet().state_dict(), draw_outside(RESNET, 5)
    before = {name: value.clone() for name, value in drawn.items()}
    loaded = load_weights(RESNET, save(tmp_path / file, dress(given)), drawn, folders)
    assert_body_from(loaded, given, drawn)
    assert all(torch.equal(value, before[name]) for name, value in drawn.items())


def test_an_earlier_trial_with_another_head(folders: Folders) -> None:
    given = draw_outside(OutsideNetwork(name=RESNET.name, units=(8,)), 1, num_classes=7)
    save(folders.weights("0123abcd"), given)
    drawn = draw_outside(RESNET, 5)
    loaded = load_weights(RESNET, Transfer(weights=TrialWeights(trial="0123abcd")), drawn, folders)
    assert_body_from(loaded, {name.removeprefix("body."): value for name, value in given.items()}, drawn)


@pytest.mark.parametrize("num_body_layers", [3, 4])
def test_layer_networks_leave_their_old_head_behind(folders: Folders, num_body_layers: int) -> None:
    given = initialize((*LAYERS[:-1], Dense(units=9)), (16, 16, 1), FRESH, 1)
    save(folders.weights("0123abcd"), given)
    drawn = draw_layers(5)
    transfer = Transfer(weights=TrialWeights(trial="0123abcd"))
    loaded = load_weights(NETWORK, transfer, drawn, folders, num_body_layers)
    for name, value in loaded.items():
        assert torch.equal(value, (given if int(name[0]) < num_body_layers else drawn)[name])


def test_colour_kernels_take_grey_images_as_if_repeated(folders: Folders, tmp_path: Path) -> None:
    colour = draw_layers(1, channels=3)
    loaded = load_weights(NETWORK, save(tmp_path / "a.safetensors", colour), draw_layers(5), folders, 3)
    grey = torch.rand(2, 1, 16, 16)
    expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), colour["0.weight"])
    torch.testing.assert_close(nn.functional.conv2d(grey, loaded["0.weight"]), expected)


def test_plain_sequences_are_matched_in_order(folders: Folders, tmp_path: Path) -> None:
    plain = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.Flatten(),
        nn.Linear(100, 6),
        nn.Linear(6, 9),
    )
    transfer = save(tmp_path / "a.pt", plain.state_dict())
    loaded = load_weights(NETWORK, transfer, draw_layers(5), folders, 4)
    for ours, theirs in (("0", "0"), ("2", "3"), ("3", "5")):
        assert torch.equal(loaded[f"{ours}.weight"], plain.state_dict()[f"{theirs}.weight"])
        assert torch.equal(loaded[f"{ours}.bias"], plain.state_dict()[f"{theirs}.bias"])


@pytest.mark.parametrize("to_torchvision", [True, False])
def test_vgg_in_layers_and_torchvisions_are_the_same_network(
    folders: Folders, tmp_path: Path, to_torchvision: bool
) -> None:
    # AlexNet's convolutions written as layers: small enough to be drawn in no time.
    sizes = ((64, 11), (192, 5), (384, 3), (256, 3), (256, 3))
    layers = tuple(Conv(filters=filters, kernel=kernel, padding="same") for filters, kernel in sizes)
    ours = initialize((*layers, Dense(units=3)), (8, 8, 3), FRESH, 1)
    network = OutsideNetwork(name="torchvision:alexnet")
    theirs = import_torchvision().models.alexnet(weights=None).state_dict()
    numbers = dict(zip(range(5), (0, 3, 6, 8, 10), strict=True))
    if to_torchvision:
        loaded = load_weights(network, save(tmp_path / "a.pt", ours), draw_outside(network, 5), folders)
        assert all(torch.equal(loaded[f"body.features.{t}.weight"], ours[f"{o}.weight"]) for o, t in numbers.items())
    else:
        loaded = load_weights(Layers(layers=layers), save(tmp_path / "a.pt", theirs), ours, folders, 5)
        assert all(torch.equal(loaded[f"{o}.bias"], theirs[f"features.{t}.bias"]) for o, t in numbers.items())


def test_batch_norms_are_matched_in_order_by_either_sides_names() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
    with torch.no_grad():
        plain(torch.rand(4, 1, 9, 9))
    given = plain.state_dict()
    names = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    wanted = {f"{o}.{n}": torch.empty_like(given[f"{t}.{n}"]) for o, t in ((0, 0), (3, 3)) for n in ("weight", "bias")}
    wanted |= {f"{o}.{n}": torch.empty(2) for o in (1, 5) for n in names}
    with pytest.raises(WeightsError):
        fit_weights({**wanted, "6.weight": torch.empty(2)}, given, title="a", network="b")
    loaded = fit_weights(wanted, given, title="a", network="b")
    assert torch.equal(loaded["5.variance"], given["4.running_var"])
    back = fit_weights(given, loaded, title="a", network="b")
    assert all(torch.equal(value, given[name]) for name, value in back.items())


def test_half_precision_is_widened(folders: Folders, tmp_path: Path) -> None:
    given = {name: value.half() for name, value in draw_layers(1).items()}
    loaded = load_weights(NETWORK, save(tmp_path / "a.safetensors", given), draw_layers(5), folders, 3)
    assert loaded["0.weight"].dtype == torch.float32
    assert torch.equal(loaded["0.weight"], given["0.weight"].float())


def test_everything_that_does_not_fit_is_named_in_one_line(folders: Folders, tmp_path: Path) -> None:
    given = whole_resnet().state_dict()
    del given["bn1.weight"], given["layer1.0.conv1.weight"]
    given["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    given["extra.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        load_weights(RESNET, save(tmp_path / "a.pt", given), draw_outside(RESNET, 5), folders)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/a.pt: ")
    assert "\n" not in message
    for fact in (
        " torchvision:resnet18: ",
        "missing bn1.weight, layer1.0.conv1.weight;",
        "unexpected extra.weight;",
        "shape conv1.weight (64x3x3x3, ",
        "64x3x7x7",
    ):
        assert fact in message


def test_another_network_altogether_is_a_short_line(folders: Folders, tmp_path: Path) -> None:
    transfer = save(tmp_path / "a.pt", draw_layers(1))
    with pytest.raises(WeightsError, match=r"conv1.weight, .* \d+ more; unexpected 0.weight") as caught:
        load_weights(RESNET, transfer, draw_outside(RESNET, 5), folders)
    assert len(str(caught.value)) < 1_000


def test_a_longer_sequence_of_convolutions_does_not_fit(folders: Folders, tmp_path: Path) -> None:
    plain = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3))
    load_weights(NETWORK, save(tmp_path / "a.pt", plain.state_dict()), draw_layers(5), folders, 3)
    plain.append(nn.Conv2d(4, 4, 3))
    with pytest.raises(WeightsError, match=r"2\.weight, 2\.bias"):
        load_weights(NETWORK, save(tmp_path / "a.pt", plain.state_dict()), draw_layers(5), folders, 3)


def test_trials_that_are_not_there(folders: Folders) -> None:
    with pytest.raises(WeightsError, match="0123abcd"):
        load_weights(NETWORK, Transfer(weights=TrialWeights(trial="0123abcd")), draw_layers(5), folders, 3)
    with pytest.raises(WeightsError, match="never resolved"):
        load_weights(NETWORK, Transfer(weights=StudyWeights(study="s", arm="a")), draw_layers(5), folders, 3)


def test_without_weights_nothing_is_replaced(folders: Folders) -> None:
    drawn = draw_layers(5)
    assert load_weights(NETWORK, Transfer(freeze="always"), drawn, folders, 3) == drawn


def test_imagenet_for_a_network_without(folders: Folders) -> None:
    with pytest.raises(WeightsError, match="for layers"):
        load_weights(NETWORK, Transfer(weights="imagenet"), draw_layers(5), folders, 3)
