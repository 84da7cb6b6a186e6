from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Dropout, GlobalPool, Pool, Residual
from bakeoff.catalog.networks.named import LeNet, ModNet1, ModNet2, expand
from bakeoff.catalog.networks.shapes import (
    find_shortcut_stride,
    format_shape,
    pad_same,
    trace,
)
from bakeoff.errors import NetworkError

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
        ([Dense(units=9), GlobalPool()], r"^layer 2 \(global_pool\) needs rows and columns, .* left 9 plain numbers"),
        (
            [Pool(), Residual(layers=(BatchNorm(), Conv(filters=2, kernel=9)))],
            r"^layer 2\.2 \(conv, kernel 9, padding valid\) does not fit its 4x4x1 input: ",
        ),
        (
            [Residual(layers=(Conv(filters=1, kernel=3),))],
            r"^layer 1 \(residual\) turns its 8x8x1 input into 6x6x1, and no stride of a shortcut does that: set",
        ),
        (
            [Dense(units=9), Residual(layers=(Dense(units=8),))],
            r"^layer 2 \(residual\) turns its 9 input into 8 and cannot add the two: only images may change ",
        ),
        ([Residual(layers=(GlobalPool(),))], r"^layer 1 \(residual\) turns its 8x8x1 input into 1 and cannot add"),
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


@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_padded_pools_make_as_many_outputs_as_padded_convolutions(size: int, stride: int | None) -> None:
    (pool,) = trace([Pool(size=size, stride=stride, padding="same")], (11, 8, 3))
    (conv,) = trace([Conv(filters=3, kernel=size, stride=stride or size, padding="same")], (11, 8, 3))
    assert pool.output_shape == conv.output_shape


def test_batch_norm_and_biases_are_counted() -> None:
    layers = [Conv(filters=4, kernel=3, bias=False), BatchNorm(), GlobalPool(), BatchNorm(), Dense(units=3, bias=False)]
    steps = trace(layers, (8, 8, 2))
    assert [step.output_shape for step in steps] == [(6, 6, 4), (6, 6, 4), (4,), (4,), (3,)]
    assert [step.num_parameters for step in steps] == [72, 8, 0, 8, 12]
    assert sum(step.num_multiply_adds for step in steps) == 36 * 72 + 12


def test_a_residual_layer_holds_its_parts_and_their_costs() -> None:
    same = Conv(filters=2, kernel=3, padding="same")
    (kept,) = trace([Residual(layers=(same, BatchNorm()))], (8, 7, 2))
    assert (kept.output_shape, kept.shortcut, kept.num_parameters) == ((8, 7, 2), (), 38 + 4)
    halved = Conv(filters=5, kernel=3, stride=2, padding="same")
    (step,) = trace([Residual(layers=(halved, BatchNorm()))], (8, 7, 2))
    assert step.output_shape == (4, 4, 5)
    assert [part.num_parameters for part in step.inner] == [95, 10]
    assert [part.num_parameters for part in step.shortcut] == [10, 10]
    assert step.num_parameters == 125
    assert step.num_multiply_adds == 16 * (90 + 10)


@pytest.mark.parametrize(
    ("size", "result", "stride"),
    [((8, 8), (8, 8), 1), ((8, 7), (4, 4), 2), ((7, 7), (3, 3), 3), ((7, 7), (2, 2), 4), ((8, 8), (6, 6), None)],
)
def test_the_stride_of_a_shortcut(size: tuple[int, int], result: tuple[int, int], stride: int | None) -> None:
    assert find_shortcut_stride(size, result) == stride
