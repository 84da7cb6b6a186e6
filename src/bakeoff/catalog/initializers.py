"""Initial weights: nine initializers with Keras's definitions, and identity filters, in plain NumPy.

Shapes have PyTorch's layout: `(out, in, rows, columns)` for a convolution, `(out, in)` for a dense layer.
A fan is a number of connections: `fan_in = in * rows * columns`, `fan_out = out * rows * columns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bakeoff.catalog.choices import Record, expand_name, name_from
from bakeoff.errors import UnknownNetworkError
from bakeoff.registry import Registry

Shape: TypeAlias = tuple[int, ...]
Weights: TypeAlias = NDArray[np.float64]

TRUNCATED_SD = 0.87962566103423978
"""Standard deviation of a standard normal distribution truncated at 2 standard deviations."""

TRUNCATED_SHARE = 0.022750131948179195
"""Probability of a standard normal value below -2."""


def count_fans(shape: Shape) -> tuple[int, int]:
    """Return the number of inputs of an output (fan in) and of outputs of an input (fan out).

    Args:
        shape: `(out, in, rows, columns)` of a convolution or `(out, in)` of a dense layer.

    Raises:
        ValueError: the shape is neither.
    """
    if len(shape) not in (2, 4):
        raise ValueError(f"weights are (out, in) or (out, in, rows, columns), not {shape}")
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def _take_fan_in(shape: Shape) -> float:
    return count_fans(shape)[0]


def _take_fan_average(shape: Shape) -> float:
    return sum(count_fans(shape)) / 2


def _draw_normal(shape: Shape, rng: np.random.Generator, *, sd: float) -> Weights:
    """Draw from a normal distribution, not truncated."""
    return rng.normal(0.0, sd, shape)


def _draw_uniform(shape: Shape, rng: np.random.Generator, *, limit: float) -> Weights:
    """Draw uniformly from -limit to limit."""
    return rng.uniform(-limit, limit, shape)


def _draw_scaled_normal(
    shape: Shape, rng: np.random.Generator, *, scale: float, fan: Callable[[Shape], float]
) -> Weights:
    """Draw from a normal truncated at 2 sd, scaled to the variance `scale / fan`, by the inverse distribution."""
    from scipy.special import ndtri  # imported late, because SciPy is slow to import

    sd = math.sqrt(scale / fan(shape)) / TRUNCATED_SD
    shares = TRUNCATED_SHARE + (1 - 2 * TRUNCATED_SHARE) * rng.random(shape)
    return sd * np.asarray(ndtri(shares), dtype=np.float64)


def _draw_scaled_uniform(
    shape: Shape, rng: np.random.Generator, *, scale: float, fan: Callable[[Shape], float]
) -> Weights:
    """Draw uniformly with the variance `scale / fan`."""
    return _draw_uniform(shape, rng, limit=math.sqrt(3 * scale / fan(shape)))


def _draw_orthogonal(shape: Shape, rng: np.random.Generator) -> Weights:
    """Draw a matrix with orthonormal rows or columns (whichever are fewer), uniformly distributed.

    The matrix is as in Keras: one column per output channel, one row per (kernel row, kernel column, input channel).
    """
    num_inputs, num_outputs = count_fans(shape)[0], shape[0]
    normal = rng.standard_normal((max(num_inputs, num_outputs), min(num_inputs, num_outputs)))
    q, r = np.linalg.qr(normal)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # without this QR would not be uniform over rotations
    matrix = q if num_inputs >= num_outputs else q.T
    keras_layout = matrix.reshape(*shape[2:], shape[1], shape[0])
    return np.moveaxis(keras_layout, (-1, -2), (0, 1))


def _draw_dirac(shape: Shape, rng: np.random.Generator) -> Weights:
    """Make the first outputs copies of one input each; draw the other outputs' weights with torch's default."""
    weights = rng.uniform(-1.0, 1.0, shape) / math.sqrt(count_fans(shape)[0])
    num_kept = min(shape[:2])
    weights[:num_kept] = 0.0
    middle = tuple(size // 2 for size in shape[2:])
    for channel in range(num_kept):
        weights[(channel, channel, *middle)] = 1.0
    return weights


@dataclass(frozen=True)
class InitializerRecord:
    """One way to draw a layer's initial weights.

    Attributes:
        name: as written in a study file.
        summary: its distribution, in one line.
        source: where it was proposed.
        sample: draws float64 weights of a shape from a generator.
    """

    name: str
    summary: str
    source: str
    sample: Callable[[Shape, np.random.Generator], Weights]


_SAXE = "Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning"
_KERAS = "Keras' defaults"
_GLOROT = "Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward networks"
_HE = "He, Zhang, Ren and Sun (2015), Delving deep into rectifiers"
_LECUN = "LeCun, Bottou, Orr and Müller (1998), Efficient backprop"

_OURS: tuple[InitializerRecord, ...] = (
    InitializerRecord("orthogonal", "random orthonormal rows or columns, gain 1", _SAXE, _draw_orthogonal),
    InitializerRecord("random_normal", "normal, sd 0.05", _KERAS, partial(_draw_normal, sd=0.05)),
    InitializerRecord("random_uniform", "uniform from -0.05 to 0.05", _KERAS, partial(_draw_uniform, limit=0.05)),
    InitializerRecord(
        "glorot_normal",
        "truncated normal, variance 2 / (fan in + fan out)",
        _GLOROT,
        partial(_draw_scaled_normal, scale=1.0, fan=_take_fan_average),
    ),
    InitializerRecord(
        "glorot_uniform",
        "uniform, variance 2 / (fan in + fan out)",
        _GLOROT,
        partial(_draw_scaled_uniform, scale=1.0, fan=_take_fan_average),
    ),
    InitializerRecord(
        "he_normal",
        "truncated normal, variance 2 / fan in",
        _HE,
        partial(_draw_scaled_normal, scale=2.0, fan=_take_fan_in),
    ),
    InitializerRecord(
        "he_uniform", "uniform, variance 2 / fan in", _HE, partial(_draw_scaled_uniform, scale=2.0, fan=_take_fan_in)
    ),
    InitializerRecord(
        "lecun_normal",
        "truncated normal, variance 1 / fan in",
        _LECUN,
        partial(_draw_scaled_normal, scale=1.0, fan=_take_fan_in),
    ),
    InitializerRecord(
        "lecun_uniform",
        "uniform, variance 1 / fan in",
        _LECUN,
        partial(_draw_scaled_uniform, scale=1.0, fan=_take_fan_in),
    ),
    InitializerRecord(
        "dirac",
        "the first outputs copy one input each, the others uniform, variance 1 / (3 fan in)",
        "Zagoruyko and Komodakis (2017), DiracNets; as in Jordan (2024), 94% on CIFAR-10 in 3.29 seconds",
        _draw_dirac,
    ),
)

INITIALIZERS: Registry[InitializerRecord] = Registry("initializer", _OURS, "bakeoff.initializers")

InitializerName: TypeAlias = Annotated[str, name_from(lambda: INITIALIZERS.names)]
"""One of the initializers."""


class InitializerChoice(Record):
    """The initializer, and the layers it initializes. Biases start at zero. A bare name means `{name: NAME}`."""

    name: InitializerName = Field(default="glorot_uniform", description="Name of the initializer.")
    where: Literal["convolutions", "everywhere"] = Field(
        default="convolutions",
        description="convolutions: dense layers keep Glorot uniform. everywhere: dense layers use it too, the last "
        "one included.",
    )

    draw: int = Field(
        default=0,
        strict=True,
        ge=0,
        le=1_000_000,
        description="Index of the random draw: another index gives different weights from the same distribution, and "
        "changes nothing else.",
    )

    @model_validator(mode="before")
    @classmethod
    def _infer_type(cls, value: object) -> object:
        if isinstance(value, Mapping) and "name" not in value:
            return value
        return expand_name(value, kind="initializer", allowed=INITIALIZERS.names)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema: dict[str, Any] = handler(core_schema)
        return {"anyOf": [{"enum": list(INITIALIZERS.names), "type": "string"}, schema]}


def find_initializer(name: str) -> InitializerRecord:
    """Return the initializer of this name.

    Raises:
        NetworkError: there is none; lists all names and the closest.
    """
    return INITIALIZERS.find(name, UnknownNetworkError)


def draw(name: str, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a layer's initial weights.

    Args:
        name: one of the initializers.
        shape: `(out, in, rows, columns)` of a convolution or `(out, in)` of a dense layer.
        rng: random generator; the same state gives the same weights.

    Returns:
        Weights in row-major order, drawn in float64 and then rounded to float32.

    Raises:
        NetworkError: no initializer has this name.

    Source: Keras 3, `keras/src/initializers/random_initializers.py`; each initializer's paper is in its record.
    """
    return np.ascontiguousarray(find_initializer(name).sample(shape, rng), dtype=np.float32)
