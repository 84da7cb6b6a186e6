from __future__ import annotations

import pytest

from bakeoff.catalog.networks.deep import VGG11, VGG16, AlexNet, ResNet, scale_filters
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Dropout, GlobalPool, Pool, Residual
from bakeoff.catalog.networks.named import LayerNetwork, expand
from bakeoff.catalog.networks.shapes import trace
from bakeoff.errors import NetworkError

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)
PAIR = (Dense(units=512, activation="relu"), Dropout(rate=0.5))


def conv(filters: int, kernel: int = 3, stride: int = 1, bias: bool = True, activation: str = "relu") -> Conv:
    return Conv(
        filters=filters,
        kernel=kernel,
        stride=stride,
        padding="same",
        bias=bias,
        activation=activation,  # type: ignore[arg-type]
    )


def test_alexnet() -> None:
    pool = Pool(kind="max", size=3, stride=2, padding="same")
    pair = (Dense(units=1_024, activation="relu"), Dropout(rate=0.5))
    published = (conv(64, 5, 2), pool, conv(192), pool, conv(384), conv(256), conv(256), pool)
    assert expand(AlexNet(), MNIST, 36) == (*published, *pair, *pair, Dense(units=36))


def test_vgg_is_configurations_a_and_d() -> None:
    pool = Pool(kind="max", size=2, padding="same")
    stages = ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))
    body: list[AnyLayer] = []
    for filters, depth in stages:
        body += [*[conv(filters)] * depth, pool]
    assert expand(VGG11(), MNIST, 10) == (*body, *PAIR, *PAIR, Dense(units=10))
    deeper = [layer for layer in expand(VGG16(), CIFAR, 10) if isinstance(layer, Conv)]
    assert [layer.filters for layer in deeper] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


@pytest.mark.parametrize("shape", [MNIST, CIFAR, (28, 28, 3), (64, 64, 3)])
@pytest.mark.parametrize("network", [AlexNet(), VGG11(), VGG16(), ResNet()])
def test_an_image_is_pooled_to_little(network: LayerNetwork, shape: tuple[int, int, int]) -> None:
    steps = trace(expand(network, shape, 10), shape)
    last = next(step for step in steps if isinstance(step.layer, Dense | GlobalPool))
    side = {"alexnet": 2, "vgg11": 1, "vgg16": 1, "resnet": 7 if shape[0] == 28 else 8}[network.name]
    assert last.input_shape[:2] == ((2 * side,) * 2 if shape[0] == 64 else (side, side))


def test_resnet_20_is_as_published_for_cifar_10() -> None:
    layers = expand(ResNet(), CIFAR, 10)
    blocks = [layer for layer in layers if isinstance(layer, Residual)]
    assert len(blocks) == 9
    steps = [step for step in trace(layers, CIFAR) if isinstance(step.layer, Residual)]
    assert [step.output_shape for step in steps] == [(32, 32, 16)] * 3 + [(16, 16, 32)] * 3 + [(8, 8, 64)] * 3
    assert [bool(step.shortcut) for step in steps] == [False] * 3 + [True, False, False] * 2
    # The paper's table: 0.27 million parameters. By hand, with option B's two shortcuts (512 + 64, 2,048 + 128):
    weights = 432 + 6 * 2_304 + 4_608 + 5 * 9_216 + 18_432 + 5 * 36_864 + 650
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert sum(step.num_parameters for step in trace(layers, CIFAR)) == weights + norms + 512 + 64 + 2_048 + 128


def test_deeper_residual_networks() -> None:
    layers = expand(ResNet(blocks=(2, 2, 2, 2), filters=(64, 128, 256, 512)), CIFAR, 10)
    # torchvision's resnet18 with ten classes has 11,181,642, its stem 64x3x7x7 in place of 64x3x3x3.
    assert sum(step.num_parameters for step in trace(layers, CIFAR)) == 11_181_642 - 64 * 3 * (49 - 9)
    thin = expand(ResNet(blocks=(1,), filters=(4,), dropout=0.2), MNIST, 10)
    assert thin[-3:] == (GlobalPool(), Dropout(rate=0.2), Dense(units=10))


@pytest.mark.parametrize("network", [AlexNet, VGG11, VGG16])
def test_batch_norm_stands_between_every_convolution_and_its_activation(
    network: type[AlexNet] | type[VGG11] | type[VGG16],
) -> None:
    without = expand(network(activation="elu"), CIFAR, 10)
    layers = expand(network(activation="elu", batch_norm=True), CIFAR, 10)
    expected: list[AnyLayer] = []
    for layer in without:
        if isinstance(layer, Conv):
            expected += [layer.model_copy(update={"bias": False, "activation": "linear"}), BatchNorm(activation="elu")]
        else:
            expected.append(layer)
    assert layers == tuple(expected)


@pytest.mark.parametrize("network", [AlexNet, VGG11, VGG16, ResNet])
def test_half_the_width_takes_about_a_quarter_of_the_time(
    network: type[AlexNet] | type[VGG11] | type[VGG16] | type[ResNet],
) -> None:
    traces = (trace(expand(network(width=width), CIFAR, 10), CIFAR) for width in (1.0, 0.5))
    whole, half = (sum(step.num_multiply_adds for step in steps) for steps in traces)
    assert 0.24 < half / whole < 0.32


def test_filters_are_rounded_and_stay_in_range() -> None:
    assert scale_filters((3, 16, 64), 0.1) == (1, 2, 6)
    with pytest.raises(NetworkError, match=r"^alexnet on 28x28x1 images: 60,000 filters times a width of 2 exceed "):
        expand(AlexNet(filters=(1, 1, 1, 1, 60_000), width=2.0), MNIST, 10)


def test_blocks_and_filters_of_a_residual_network_must_match() -> None:
    with pytest.raises(
        NetworkError, match=r"^resnet on 28x28x1 images: blocks has 2 stages, but filters has 3: give both"
    ):
        expand(ResNet(blocks=(2, 2)), MNIST, 10)
    with pytest.raises(NetworkError, match=r"^resnet on 28x28x1 images: 2,000 blocks, allowed 1,000"):
        expand(ResNet(blocks=(2_000,), filters=(4,)), MNIST, 10)
