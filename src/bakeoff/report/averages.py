"""Means over trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bakeoff.stats.results import MeanSd


def average(values: Sequence[float]) -> MeanSd:
    """Return the mean of one or more values, and their sample standard deviation if there are two or more."""
    return MeanSd(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def mean_defined(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None or NaN; None if there are none."""
    defined = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(defined)) if defined else None
