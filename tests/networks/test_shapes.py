from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from bakeoff.errors import NetworkError
from bakeoff.networks.layers import AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.networks.named import LeNet, ModNet1, ModNet2, expand
from bakeoff.networks.shapes import format_shape, pad_same, trace

# Counted by hand. LeNet on CIFAR-10: (25*3+1)*6 + (25*6+1)*16 + (5*5*16+1)*120 + 121*84 + 85*10.
HAND_COUNTS = [
    (LeNet(), (28, 28, 1), 10, 156 + 2_416 + 30_840 + 10_164 + 850),
    (LeNet(), (32, 32, 3), 10, 456 + 2_416 + 48_120 + 10_164 + 850),
    (LeNet(), (32, 32, 3), 100, 456 + 2_416 + 48_120 + 12_100),
    (ModNet1(), (28, 28, 1), 10, 320 + 18_496 + 73_856 + 33_024 + 32_896 + 1_290),
    (ModNet1(), (32, 32, 3), 10, 896 + 18_496 + 73_856 + 131_328 + 32_896 + 1_290),
    (ModNet1(), (32, 32, 3), 100, 896 + 18_496 + 73_856 + 131_328 + 25_700),
    (ModNet2(), (32, 32, 3), 10, 1_792 + 36_928 + 73_856 + 147_584 + 2_359_808 + 5_130),
    (ModNet2(), (32, 32, 3), 100, 1_792 + 36_928 + 73_856 + 147_584 + 2_359_808 + 51_300),
]


@pytest.mark.parametrize(("network", "shape", "num_classes", "expected"), HAND_COUNTS)
def test_parameters_agree_with_a_count_by_hand(
    network: LeNet | ModNet1 | ModNet2, shape: tuple[int, int, int], num_classes: int, expected: int
) -> None:
    layers = expand(network, shape, num_classes)
    assert sum(step.num_parameters for step in trace(layers, shape)) == expected


def test_lenet_on_mnist_layer_by_layer() -> None:
    steps = trace(expand(LeNet(), (28, 28, 1), 10), (28, 28, 1))
    assert [step.output_shape for step in steps] == [
        (24, 24, 6),
        (12, 12, 6),
        (8, 8, 16),
        (4, 4, 16),
        (120,),
        (84,),
        (10,),
    ]
    assert [step.num_multiply_adds for step in steps] == [
        24 * 24 * 6 * 25,
        0,
        8 * 8 * 16 * 6 * 25,
        0,
        256 * 120,
        120 * 84,
        84 * 10,
    ]
    assert all(before.output_shape == after.input_shape for before, after in itertools.pairwise(steps))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_convolutions_agree_with_pytorch(kernel: int, stride: int, padding: str) -> None:
    height, width = 11, 8
    layer = Conv(filters=4, kernel=kernel, stride=stride, padding=padding)  # type: ignore[arg-type]
    images = torch.zeros(1, 3, height, width)
    if padding == "same":
        images = F.pad(images, (*pad_same(width, kernel, stride), *pad_same(height, kernel, stride)))
    module = torch.nn.Conv2d(3, 4, kernel, stride)
    _, channels, rows, columns = module(images).shape
    (step,) = trace([layer], (height, width, 3))
    assert step.output_shape == (rows, columns, channels)
    assert step.num_parameters == sum(parameter.numel() for parameter in module.parameters())
    assert step.num_multiply_adds == rows * columns * module.weight.numel()


@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pools_agree_with_pytorch(size: int, stride: int | None) -> None:
    _, channels, rows, columns = F.max_pool2d(torch.zeros(1, 3, 11, 8), size, stride).shape
    (step,) = trace([Pool(size=size, stride=stride)], (11, 8, 3))
    assert step.output_shape == (rows, columns, channels)
    assert step.num_parameters == step.num_multiply_adds == 0


# The zeros that TensorFlow puts before and after, from its formula max((ceil(n/s)-1)*s+k-n, 0), halved downwards.
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (28, 1, 1, (0, 0)),
        (28, 3, 1, (1, 1)),
        (28, 5, 1, (2, 2)),
        (28, 2, 1, (0, 1)),
        (28, 4, 1, (1, 2)),
        (28, 3, 2, (0, 1)),
        (27, 3, 2, (1, 1)),
        (28, 5, 3, (2, 2)),
        (28, 1, 3, (0, 0)),
        (2, 5, 1, (2, 2)),
    ],
)
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert pad_same(size, kernel, stride) == expected


def test_dense_flattens_and_dropout_changes_nothing() -> None:
    dropped, dense = trace([Dropout(rate=0.5), Dense(units=7)], (4, 5, 3))
    assert dropped.output_shape == (4, 5, 3)
    assert dropped.num_parameters == 0
    assert (dense.output_shape, dense.num_parameters, dense.num_multiply_adds) == ((7,), 60 * 7 + 7, 60 * 7)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [Conv(filters=2, kernel=5), Conv(filters=2, kernel=9)],
            r"^layer 2 \(conv, kernel 9, padding valid\) does not fit its 4x4x2 input: make its kernel at most 4, or ",
        ),
        ([Pool(), Pool(size=5)], r"^layer 2 \(pool, size 5\) does not fit its 4x4x1 input: "),
        ([Dense(units=9), Conv(filters=1, kernel=1)], r"^layer 2 .* left 9 plain numbers: move it before"),
        ([Dense(units=9), Dropout(rate=0.1), Pool()], r"^layer 3 \(pool, size 2\) needs rows and columns"),
    ],
)
def test_an_impossible_layer_is_named(layers: list[AnyLayer], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        trace(layers, (8, 8, 1))


def test_a_kernel_may_be_as_large_as_its_input_and_the_shorter_side_counts() -> None:
    (step,) = trace([Conv(filters=2, kernel=4)], (4, 9, 1))
    assert step.output_shape == (1, 6, 2)
    with pytest.raises(NetworkError, match="at most 4"):
        trace([Conv(filters=2, kernel=5)], (9, 4, 1))


def test_format_shape() -> None:
    assert format_shape((28, 28, 1)) == "28x28x1"
    assert format_shape((10,)) == "10"
