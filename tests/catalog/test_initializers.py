from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from bakeoff.catalog.initializers import (
    INITIALIZERS,
    TRUNCATED_SD,
    TRUNCATED_SHARE,
    InitializerChoice,
    InitializerName,
    count_fans,
    draw,
    find_initializer,
)
from bakeoff.errors import NetworkError

CONV, DENSE = (96, 48, 5, 5), (384, 640)
# Written out again, so that a mistake in counting connections shows: (fan in, fan out).
FANS = {CONV: (48 * 25, 96 * 25), DENSE: (640, 384)}

VARIANCES: dict[str, Callable[[int, int], float]] = {
    "random_normal": lambda fan_in, fan_out: 0.05**2,
    "random_uniform": lambda fan_in, fan_out: 0.1**2 / 12,
    "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "glorot_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
    "lecun_uniform": lambda fan_in, fan_out: 1 / fan_in,
    # Every entry of a matrix with orthonormal columns has mean square 1 / rows (or columns, if those are more).
    "orthogonal": lambda fan_in, fan_out: math.nan,
}
TRUNCATED = ("glorot_normal", "he_normal", "lecun_normal")
UNIFORM = ("random_uniform", "glorot_uniform", "he_uniform", "lecun_uniform")


def sample(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return draw(name, shape, np.random.default_rng(seed))


def find_variance(name: str, shape: tuple[int, ...]) -> float:
    if name == "orthogonal":
        return 1 / max(FANS[shape][0], shape[0])
    return VARIANCES[name](*FANS[shape])


def flatten_like_keras(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return Keras' matrix: one row each (kernel row, kernel column, input channel), one column an output channel."""
    if weights.ndim == 2:
        return weights.T
    return weights.transpose(2, 3, 1, 0).reshape(-1, weights.shape[0])


@pytest.mark.parametrize("shape", [CONV, DENSE])
@pytest.mark.parametrize("name", VARIANCES)
def test_the_variance_is_its_formula(name: str, shape: tuple[int, ...]) -> None:
    """Over 100,000 draws the sample variance has a relative sd below 0.5%; 2.5% is five of them."""
    weights = sample(name, shape).astype(np.float64)
    expected = find_variance(name, shape)
    assert weights.var() == pytest.approx(expected, rel=0.025)
    assert abs(weights.mean()) < 5 * math.sqrt(expected / weights.size)


@pytest.mark.parametrize("shape", [CONV, DENSE])
@pytest.mark.parametrize("name", INITIALIZERS.names)
def test_every_initializer_keeps_the_contract(name: str, shape: tuple[int, ...]) -> None:
    weights = sample(name, shape)
    assert weights.shape == shape
    assert weights.dtype == np.float32
    assert weights.flags.c_contiguous
    assert np.isfinite(weights).all()
    np.testing.assert_array_equal(weights, sample(name, shape))
    if name == "dirac" and shape == DENSE:
        return  # fewer outputs than inputs: all hand one on, nothing is left to draw
    assert not np.array_equal(weights, sample(name, shape, seed=1))
    rng = np.random.default_rng(0)
    assert not np.array_equal(draw(name, shape, rng), draw(name, shape, rng))


@pytest.mark.parametrize("shape", [CONV, DENSE])
@pytest.mark.parametrize("name", TRUNCATED)
def test_scaled_normals_are_truncated_at_two_sd(name: str, shape: tuple[int, ...]) -> None:
    sd = math.sqrt(find_variance(name, shape)) / 0.87962566103423978
    weights = sample(name, shape).astype(np.float64)
    assert np.abs(weights).max() <= 2 * sd * (1 + 1e-6)
    assert np.abs(weights).max() > 1.99 * sd
    assert stats.kstest(weights.ravel(), stats.truncnorm(-2, 2, scale=sd).cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [CONV, DENSE])
def test_random_normal_is_not_truncated(shape: tuple[int, ...]) -> None:
    weights = sample("random_normal", shape).astype(np.float64)
    assert np.mean(np.abs(weights) > 0.1) == pytest.approx(2 * stats.norm.sf(2), rel=0.1)
    assert stats.kstest(weights.ravel(), stats.norm(scale=0.05).cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [CONV, DENSE])
@pytest.mark.parametrize("name", UNIFORM)
def test_uniforms_fill_their_limits(name: str, shape: tuple[int, ...]) -> None:
    limit = math.sqrt(3 * find_variance(name, shape))
    weights = sample(name, shape).astype(np.float64)
    assert 0.999 * limit < np.abs(weights).max() <= limit * (1 + 1e-6)
    assert stats.kstest(weights.ravel(), stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    "shape",
    [(6, 1, 5, 5), (64, 3, 3, 3), (27, 3, 3, 3), (16, 6, 5, 5), (120, 400), (400, 120), (50, 50), (1, 7), (7, 1)],
)
def test_orthogonal_weights_are_orthonormal_on_keras_matrix(shape: tuple[int, ...]) -> None:
    matrix = flatten_like_keras(sample("orthogonal", shape)).astype(np.float64)
    rows, columns = matrix.shape
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-6)


def test_orthogonal_weights_favour_no_rotation() -> None:
    """Without the sign correction every QR puts the same sign on the diagonal, and the mean trace is far from zero."""
    rng = np.random.default_rng(0)
    matrices = np.stack([draw("orthogonal", (3, 3), rng) for _ in range(4_000)]).astype(np.float64)
    # Under the uniform (Haar) distribution a trace has mean 0 and variance 1, and an entry variance 1/3.
    traces = np.trace(matrices, axis1=1, axis2=2)
    assert abs(traces.mean()) < 5 / math.sqrt(4_000)
    assert traces.var() == pytest.approx(1, rel=0.15)
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=5 * math.sqrt(1 / 3 / 4_000))


def test_orthogonal_weights_are_laid_out_like_keras() -> None:
    """One draw, undone by hand: QR, signs, Keras' (rows, columns, in, out), then PyTorch's axes."""
    q, r = np.linalg.qr(np.random.default_rng(3).standard_normal((3 * 3 * 2, 4)))
    keras = (q * np.sign(np.diag(r))).reshape(3, 3, 2, 4)
    np.testing.assert_array_equal(
        sample("orthogonal", (4, 2, 3, 3), seed=3), keras.transpose(3, 2, 0, 1).astype(np.float32)
    )


def test_fans_count_connections() -> None:
    assert count_fans((16, 6, 5, 5)) == (150, 400)
    assert count_fans((84, 120)) == (120, 84)
    for shape in ((), (3,), (3, 3, 3)):
        with pytest.raises(ValueError, match="weights are"):
            count_fans(shape)


def test_the_truncation_constants_are_those_of_a_normal_truncated_at_two_sd() -> None:
    assert pytest.approx(stats.norm.cdf(-2), rel=1e-12) == TRUNCATED_SHARE
    assert pytest.approx(stats.truncnorm(-2, 2).std(), rel=1e-12) == TRUNCATED_SD


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (4, 6, 2, 2), (5, 5, 1, 1), (8, 3)])
def test_dirac_filters_hand_channels_on_as_torchs_do(shape: tuple[int, ...]) -> None:
    weights = sample("dirac", shape)
    num_kept = min(shape[:2])
    ones = np.eye(num_kept, shape[1], dtype=np.float32)
    if len(shape) == 4:
        ones = torch.nn.init.dirac_(torch.empty(num_kept, *shape[1:])).numpy()
    np.testing.assert_array_equal(weights[:num_kept], ones)


def test_what_dirac_draws_is_torchs_default() -> None:
    """torch draws uniformly within 1 / sqrt(fan in), which its name calls Kaiming's with a slope of sqrt(5)."""
    drawn = sample("dirac", CONV)[CONV[1] :]
    limit = 1 / math.sqrt(CONV[1] * 25)
    reference = torch.nn.init.kaiming_uniform_(torch.empty(CONV), a=math.sqrt(5))
    assert np.abs(drawn).max() == pytest.approx(limit, rel=1e-3)
    assert float(reference.abs().max()) == pytest.approx(limit, rel=1e-3)
    assert drawn.var() == pytest.approx(limit**2 / 3, rel=0.03)


def test_the_registry_has_the_ten_and_explains_them() -> None:
    assert set(INITIALIZERS.names) == {*VARIANCES, "dirac"}
    assert TypeAdapter(InitializerName).json_schema()["enum"] == list(INITIALIZERS.names)
    assert all(record.summary and record.source for record in INITIALIZERS)
    assert find_initializer("he_normal").name == "he_normal"


def test_an_unknown_initializer_is_answered_with_the_nearest() -> None:
    expected = r"(?m)^unknown initializer 'he_norml'\. Allowed: orthogonal, .* Did you mean 'he_normal'\?$"
    with pytest.raises(NetworkError, match=expected):
        draw("he_norml", DENSE, np.random.default_rng(0))


class TestChoice:
    ADAPTER: TypeAdapter[InitializerChoice] = TypeAdapter(InitializerChoice)

    @pytest.mark.parametrize("name", INITIALIZERS.names)
    def test_a_bare_name_stands_for_its_record(self, name: Any) -> None:
        choice = self.ADAPTER.validate_python(name)
        assert choice == InitializerChoice(name=name, where="convolutions")
        assert self.ADAPTER.validate_python(choice.model_dump()) == choice

    def test_the_default_is_glorot_uniform_on_convolutions(self) -> None:
        assert InitializerChoice() == InitializerChoice(name="glorot_uniform", where="convolutions")
        assert self.ADAPTER.validate_python({"where": "everywhere"}).name == "glorot_uniform"

    @pytest.mark.parametrize(
        ("given", "kind", "place"),
        [
            ("he", "unknown_name", ()),
            ({"name": "he_norm"}, "unknown_name", ()),
            (None, "unknown_name", ()),
            (3, "unknown_name", ()),
            ({"name": "he_normal", "where": "dense"}, "literal_error", ("where",)),
            ({"name": "he_normal", "gain": 2}, "extra_forbidden", ("gain",)),
        ],
    )
    def test_a_wrong_choice_gives_one_error(self, given: object, kind: str, place: tuple[str, ...]) -> None:
        with pytest.raises(ValidationError) as caught:
            self.ADAPTER.validate_python(given)
        assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [(kind, place)]

    def test_the_schema_allows_a_bare_name(self) -> None:
        bare, record = self.ADAPTER.json_schema()["anyOf"]
        assert bare["enum"] == list(INITIALIZERS.names)
        assert all(field["description"] for field in record["properties"].values())
