"""Kernels with a backward pass of their own: the numbers of plain torch, by another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.engine.fused import kernels
from bakeoff.engine.fused.kernels import cast, convolve, multiply_members

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Ask anew what the processor's library can do."""
    kernels._can_activate.cache_clear()
    yield
    kernels._can_activate.cache_clear()


def _draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype)


def _gradients(compute: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Return what `compute` gives, then its gradients for a fixed gradient of the result."""
    leaves = [value.detach().clone().requires_grad_() for value in inputs]
    result = compute(*leaves)
    result.backward(_draw(*result.shape, dtype=result.dtype, seed=9))  # type: ignore[no-untyped-call]
    found = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert len(found) == len(leaves)
    return [result.detach(), *found]


@BOTH
@pytest.mark.parametrize("has_bias", [True, False])
def test_products_of_members_are_torchs(dtype: torch.dtype, has_bias: bool) -> None:
    inputs = [_draw(3, 8, 20, dtype=dtype), _draw(3, 6, 20, dtype=dtype, seed=1)]
    inputs += [_draw(3, 6, dtype=dtype, seed=2)] if has_bias else []

    def plain(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        product = torch.einsum("kni,koi->kno", values, weight)
        return product if bias is None else product + bias.unsqueeze(1)

    ours = _gradients(lambda values, weight, bias=None: multiply_members(values, weight, bias), *inputs)
    exact = _gradients(plain, *[value.double() for value in inputs])
    for one, other in zip(ours, exact, strict=True):
        assert one.dtype == dtype
        # The gradient that comes in is float64 there; in bfloat16 it is rounded to 8 bits here.
        assert torch.allclose(one.double(), other, rtol=3e-2, atol=1e-5 if dtype == torch.float32 else 0.15)


def test_products_gradients_lie_as_the_weights_do() -> None:
    weight = _draw(3, 6, 20).requires_grad_()
    product = multiply_members(_draw(3, 8, 20), weight, None)
    (gradient,) = torch.autograd.grad(product.sum(), weight)
    assert gradient.is_contiguous()


def test_what_needs_no_gradient_gets_none() -> None:
    weight = _draw(2, 3, 4).requires_grad_()
    values = _draw(2, 5, 4)
    multiply_members(values, weight, _draw(2, 3)).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_few_channels_under_a_stride_are_thinned_out_to_the_same_sum(channels: int) -> None:
    """Plain torch writes past its memory here under AVX2 (2 to 7 channels), so the oracle is in float64."""
    inputs = [_draw(6, channels, 15, 15).to(memory_format=torch.channels_last), _draw(8, channels, 1, 1, seed=1)]

    def ours(images: Tensor, kernel: Tensor) -> Tensor:
        return convolve(images, kernel, None, stride=2, padding=0, groups=1, activation="linear")[0]

    found = _gradients(ours, *inputs)
    exact = _gradients(lambda images, kernel: F.conv2d(images, kernel, stride=2), *(each.double() for each in inputs))
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other.to(one.dtype), rtol=1e-5, atol=1e-5)


@BOTH
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid", "swish", "gelu"])
@pytest.mark.parametrize(("groups", "padding", "stride"), [(1, 0, 1), (3, 2, 1), (3, 1, 2)])
def test_convolutions_activate_as_torch_does(
    dtype: torch.dtype, activation: str, groups: int, padding: int, stride: int
) -> None:
    plain: Callable[[Tensor], Tensor] = {
        "linear": lambda x: x,
        "relu": F.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "swish": F.silu,
        "gelu": F.gelu,
    }[activation]
    images = _draw(4, 6, 9, 9, dtype=dtype).to(memory_format=torch.channels_last)
    inputs = [images, 0.3 * _draw(12, 6 // groups, 3, 3, dtype=dtype, seed=1), _draw(12, dtype=dtype, seed=2)]
    settings = {"stride": stride, "padding": padding, "groups": groups}

    def ours(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        result, activated = convolve(
            images, kernel, bias, stride=stride, padding=padding, groups=groups, activation=activation
        )
        fused = ("tanh", "sigmoid") if kernels._can_activate("cpu", dtype) else ()
        assert activated == (activation in ("linear", *fused))
        return result if activated else plain(result)

    found = _gradients(ours, *inputs)
    torchs = _gradients(lambda x, w, b: plain(F.conv2d(x, w, b, **settings)), *inputs)
    for one, other in zip(found, torchs, strict=True):
        assert one.dtype == dtype
        scale = other.float().norm()
        assert (one.float() - other.float()).norm() <= (1e-6 if dtype == torch.float32 else 0.01) * scale


@BOTH
@pytest.mark.parametrize("activation", ["linear", "tanh"])
@pytest.mark.parametrize(
    ("channels", "groups", "padding", "width"),
    [(6, 3, 0, 14), (6, 3, 2, 14), (8, 1, 4, 8), (2, 4, 1, 10), (6, 2, 0, 9)],
)
def test_few_channels_get_torchs_gradients(
    dtype: torch.dtype, activation: str, channels: int, groups: int, padding: int, width: int
) -> None:
    """Their images' gradient is computed two pixels at a time where the width is even."""
    images = _draw(3, channels * groups, 11, width, dtype=dtype).to(memory_format=torch.channels_last)
    inputs = [
        images,
        0.1 * _draw(5 * groups, channels, 5, 5, dtype=dtype, seed=1),
        _draw(5 * groups, dtype=dtype, seed=2),
    ]

    def ours(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        result, activated = convolve(
            images, kernel, bias, stride=1, padding=padding, groups=groups, activation=activation
        )
        return result if activated or activation != "tanh" else torch.tanh(result)

    def plain(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        result = F.conv2d(images, kernel, bias, padding=padding, groups=groups)
        return torch.tanh(result) if activation == "tanh" else result

    found = _gradients(ours, *inputs)
    for one, other in zip(found, _gradients(plain, *inputs), strict=True):
        assert one.shape == other.shape
        scale = other.float().norm()
        assert (one.float() - other.float()).norm() <= (1e-6 if dtype == torch.float32 else 0.01) * scale


@BOTH
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_grey_images_are_seen_as_any_others(dtype: torch.dtype, activation: str, padding: int) -> None:
    """In bfloat16 a pixel's neighbours are laid out as its channels."""
    images = _draw(3, 1, 9, 12, dtype=dtype)
    inputs = [0.3 * _draw(6, 1, 5, 5, dtype=dtype, seed=1), _draw(6, dtype=dtype, seed=2)]
    activate = getattr(torch, activation)

    def ours(kernel: Tensor, bias: Tensor) -> Tensor:
        result, activated = convolve(images, kernel, bias, stride=1, padding=padding, groups=1, activation=activation)
        return result if activated else activate(result)

    found = _gradients(ours, *inputs)
    torchs = _gradients(lambda kernel, bias: activate(F.conv2d(images, kernel, bias, padding=padding)), *inputs)
    for one, other in zip(found, torchs, strict=True):
        assert one.shape == other.shape
        scale = other.float().norm()
        assert (one.float() - other.float()).norm() <= (1e-6 if dtype == torch.float32 else 0.01) * scale


@BOTH
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_nan_stays_nan(dtype: torch.dtype, activation: str) -> None:
    images = torch.full((1, 1, 3, 3), float("nan"), dtype=dtype)
    kernel = torch.ones(16, 1, 1, 1, dtype=dtype)
    result, activated = convolve(images, kernel, None, stride=1, padding=0, groups=1, activation=activation)
    assert (result if activated else getattr(torch, activation)(result)).isnan().all()


@BOTH
def test_convolutions_do_without_the_library(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> Tensor:
        raise RuntimeError("not on this processor")

    monkeypatch.setattr(kernels, "_run_convolution", refuse)
    images, kernel = _draw(2, 3, 5, 5, dtype=dtype), _draw(4, 3, 3, 3, dtype=dtype)
    result, activated = convolve(images, kernel, None, stride=1, padding=0, groups=1, activation="tanh")
    assert not activated
    assert torch.equal(result, F.conv2d(images, kernel))


@pytest.mark.parametrize("side", [3, 5])
def test_frozen_kernels_get_no_gradient(side: int) -> None:
    images = _draw(2, 3, 6, 6).requires_grad_()
    kernel, bias = _draw(4, 3, side, side), _draw(4)
    result, _ = convolve(images, kernel, bias, stride=1, padding=0, groups=1, activation="tanh")
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert kernel.grad is None
    assert bias.grad is None


def test_a_cast_hands_its_gradient_back_as_it_was() -> None:
    stack = _draw(2, 4, 3, 3, 3).requires_grad_()
    fast = cast(stack, torch.bfloat16)
    assert torch.equal(fast, stack.to(torch.bfloat16))
    gradient = _draw(2, 4, 3, 3, 3, dtype=torch.bfloat16, seed=1)
    strided = gradient.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    fast.backward(strided)  # type: ignore[no-untyped-call]
    assert stack.grad is not None
    assert stack.grad.is_contiguous()
    assert torch.equal(stack.grad, gradient.float())
    assert cast(stack, torch.float32) is stack
