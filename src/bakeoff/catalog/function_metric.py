"""Metrics that are a user's own function `module:function`, known by the hash of its code. No torch.

Shape suffixes: N images, C classes.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.catalog.networks.user_code import hash_code, hash_loaded, load_class
from bakeoff.errors import BakeoffError
from bakeoff.stats.metrics import MetricError, Predictions

CODE_CHARACTERS = 16
"""Hexadecimal characters of the code's hash in a metric's name."""

MAX_LEFT_OUT = 2_000
"""Images up to which each is left out in turn; with more, nothing is known of what single images contribute."""


class MetricFunctionError(MetricError, code="BK303"):
    """A metric of the user's cannot be computed."""


class FunctionMetric(Record):
    """A function of the user's: labels [N] and probabilities [N, C], as NumPy arrays, to a number."""

    function: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="The function, module:function: of labels [N] and probabilities [N, C], a number.",
    )
    higher_is_better: bool = Field(strict=True, description="Whether larger values are better.")
    chance: float = Field(
        strict=True, allow_inf_nan=False, description="Its value for guesses, which a failed trial gets."
    )

    def write_name(self) -> str:
        """Return the metric's name: its settings and the hash of its code, which is read and not run.

        Raises:
            PydanticCustomError: there is no such module.
        """
        code = hash_code(self.function)
        if code is None:
            module = self.function.partition(":")[0]
            message = "there is no module {module}: start bakeoff in its folder, or install it"
            raise PydanticCustomError("no_module", message, {"module": module})
        goes = "higher" if self.higher_is_better else "lower"
        return f"{self.function} ({goes} is better, chance {self.chance!r}, code {code[:CODE_CHARACTERS]})"


def compute(predictions: Predictions, function: str, code: str) -> float:
    """Return a function's value for predictions.

    Raises:
        MetricError: the code has changed, the function fails or returns no finite number.
        NetworkError: it cannot be imported.
    """
    _check_code(function, code)
    return _call(function, predictions.labels_N, predictions.probabilities_NC)


def contribute(predictions: Predictions, function: str, code: str) -> NDArray[np.float32] | None:
    """Return the score plus each image's influence on it, by leaving it out (the jackknife); None for many images.

    Source: Efron (1982), The jackknife, the bootstrap and other resampling plans, chapter 3.
    """
    num_images = len(predictions.labels_N)
    if not 2 < num_images <= MAX_LEFT_OUT:
        return None
    score, is_kept_N, without_N = compute(predictions, function, code), np.ones(num_images, dtype=bool), []
    for image in range(num_images):
        is_kept_N[image] = False
        without_N.append(_call(function, predictions.labels_N[is_kept_N], predictions.probabilities_NC[is_kept_N]))
        is_kept_N[image] = True
    values_N = np.asarray(without_N)
    return np.asarray(score + (num_images - 1) * (values_N.mean() - values_N), dtype=np.float32)


@cache
def _check_code(function: str, code: str) -> None:
    """Check that a function's code is the one on record: of its files, before anything is run, and as imported."""
    if str(hash_code(function))[:CODE_CHARACTERS] != code or str(hash_loaded(function))[:CODE_CHARACTERS] != code:
        raise MetricFunctionError(
            f"{function}: its code is not that of the study, or is not found from this folder: run the study again, "
            "which scores its trials anew by today's code, or restore the old one."
        )


def check_function(text: str, num_classes: int) -> None:
    """Call a metric's function once, on made-up predictions of every class.

    Args:
        text: the function, `module:function`.
        num_classes: number of classes.

    Raises:
        MetricError, NetworkError: it cannot be used; says why.
    """
    labels_N = np.arange(4 * num_classes) % num_classes
    probabilities_NC = np.random.default_rng(0).dirichlet(np.ones(num_classes), len(labels_N)).astype(np.float32)
    _call(text, labels_N, probabilities_NC)


def _call(function: str, labels_N: NDArray[np.integer], probabilities_NC: NDArray[np.floating]) -> float:
    found = load_class(function)
    try:
        value = float(found(labels_N, probabilities_NC))  # type: ignore[call-arg]  # a function of the user's
    except BakeoffError:
        raise
    except Exception as error:  # the user's code can raise anything; it becomes one line
        raise MetricFunctionError(f"metric {function} failed: {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise MetricFunctionError(f"metric {function} returned {value}: return a finite number for any predictions.")
    return value
