"""The error of a mean difference as a distribution: a mixture of Student's t, with its tails and their inverse.

Shape suffix: G components of the mixture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_LOG_DISTANCES = np.linspace(-12.0, 12.0, 193)


@dataclass(frozen=True, kw_only=True)
class MeanError:
    """The distribution of the error of a pair's mean difference: a mixture of Student's t, each with its own scale.

    Attributes:
        weights_G: sum to 1.
        scales_G: standard errors, above 0, in the metric's unit.
        degrees_G: degrees of freedom, above 0.
        guard: the same by the variances of the two arms alone, where this one borrows from others; else None.
    """

    weights_G: NDArray[np.float64]
    scales_G: NDArray[np.float64]
    degrees_G: NDArray[np.float64]
    guard: MeanError | None = None

    def tail(self, distance: float) -> float:
        """Return the probability of an error beyond `distance`, 0 or more, to one side."""
        from scipy.special import stdtr

        return float(self.weights_G @ stdtr(self.degrees_G, -distance / self.scales_G))

    def reach(self, tail: float) -> float:
        """Return the distance beyond which lies `tail`, 0..0.5, of the errors to one side."""
        if tail >= 0.5:
            return 0.0
        log_distance = float(np.interp(-math.log(tail), self._log_tails, _LOG_DISTANCES))
        distance = self._unit * math.exp(log_distance)
        for _ in range(2):
            distance *= math.exp(self._newton_step(distance, tail))
        return distance

    @property
    def variance(self) -> float:
        """The squared standard error, averaged over the mixture."""
        return float(self.weights_G @ self.scales_G**2)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of a single t about as heavy in the tails: the harmonic mean over the mixture."""
        return 1 / float(self.weights_G @ (1 / self.degrees_G))

    @property
    def _unit(self) -> float:
        return float(self.scales_G.max())

    @cached_property
    def _log_tails(self) -> NDArray[np.float64]:
        from scipy.special import stdtr

        ratios = self._unit * np.exp(_LOG_DISTANCES)[:, None] / self.scales_G
        tails = stdtr(self.degrees_G, -ratios) @ self.weights_G
        return np.asarray(-np.log(np.maximum(tails, 1e-300)))

    @cached_property
    def _norms_G(self) -> NDArray[np.float64]:
        from scipy.special import gammaln

        nu = self.degrees_G
        return np.asarray(self.weights_G * np.exp(gammaln((nu + 1) / 2) - gammaln(nu / 2)) / np.sqrt(nu * math.pi))

    def _newton_step(self, distance: float, tail: float) -> float:
        """Return by what the logarithm of the distance has to change for the logarithm of its tail to fit."""
        nu, ratios_G = self.degrees_G, distance / self.scales_G
        density = float(self._norms_G @ ((1 + ratios_G**2 / nu) ** (-(nu + 1) / 2) * ratios_G))
        found = self.tail(distance)
        return 0.0 if not density or not found else (math.log(found) - math.log(tail)) * found / density


def make_error(variance: float, degrees: float) -> MeanError:
    """Return the error of a mean by one t distribution, given the squared standard error and degrees of freedom."""
    return MeanError(weights_G=np.ones(1), scales_G=np.array([math.sqrt(variance)]), degrees_G=np.array([degrees]))
