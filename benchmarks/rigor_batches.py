"""Measures many simulated studies of two arms at once; the half widths are those of real studies.

A module for the tables of rigor_scope.py and rigor_looks.py. Shape suffixes: S studies, R replicates, N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE
from scipy.special import stdtrit

from bakeoff.stats.variance import Scope, Side, Spread


def measure_batch(d_SRN: NDArray[Any]) -> list[Spread]:
    """Compute `bakeoff.stats.variance.measure_spread`, with `unit` 1, for each of many studies.

    Args:
        d_SRN: differences of two arms, in 32 bits or more; at least 3 replicates.
    """
    num_studies, r, n = d_SRN.shape
    image_SN, seed_SR = d_SRN.mean(axis=1, dtype=np.float64), d_SRN.mean(axis=2, dtype=np.float64)
    mean_S = image_SN.mean(axis=1)
    image_SN, seed_SR = image_SN - mean_S[:, None], seed_SR - mean_S[:, None]
    rest_SRN = d_SRN - seed_SR[:, :, None] - image_SN[:, None, :] - mean_S[:, None, None]
    squares_S = (n * sum_powers(seed_SR, 2), r * sum_powers(image_SN, 2), sum_powers(rest_SRN, 2))
    by_seed_S, by_image_S, rest_S = (
        np.where(square < 1e-15 * r * n, 0.0, square) / freedom
        for square, freedom in zip(squares_S, (r - 1, n - 1, (r - 1) * (n - 1)), strict=True)
    )
    columns = {
        "difference": mean_S,
        "by_seed": by_seed_S,
        "by_image": by_image_S,
        "rest": rest_S,
        "image_weight": weigh_unseen(image_SN + mean_S[:, None]),
        "cell_weight": weigh_unseen(d_SRN),
        "image_skew": sum_powers(image_SN, 3) / n**3,
        "cell_skew": sum_powers(rest_SRN, 3) / (r * (r - 1) * (r - 2) * n**3),
        "num_telling": np.count_nonzero(np.abs(image_SN + mean_S[:, None]) > 1e-12, axis=1),
    }
    listed = {name: column_S.tolist() for name, column_S in columns.items()}
    return [
        Spread(num_replicates=r, num_images=n, **{name: column[study] for name, column in listed.items()})
        for study in range(num_studies)
    ]


def sum_powers(values: NDArray[Any], power: int) -> NDArray[np.float64]:
    """Return for every study the sum of its values to the power of 2, 3, 4 or 6."""
    flat = values.reshape(len(values), -1).astype(np.float64, copy=False)
    squares = flat if power == 2 else flat * flat
    one, other = {
        2: lambda: (flat, flat),
        3: lambda: (squares, flat),
        4: lambda: (squares, squares),
        6: lambda: (squares * flat,) * 2,
    }[power]()
    return np.asarray(np.einsum("si,si->s", one, other))


def weigh_unseen(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the `image_weight` of a `Spread` for every study; 1 if nothing differs."""
    s2, s3, s4, s6 = (sum_powers(values, power) for power in (2, 3, 4, 6))
    apart = np.where(s2 > 0, s2, 1.0)
    return np.where(s2 > 0, np.minimum((s3**2 + s6) / apart**2, s4 / apart), 1.0)


def differ(spreads: Sequence[Spread], level: float = ERROR_RATE, scope: Scope = "images") -> NDArray[np.bool_]:
    """Return for each study whether its p value of "no difference" is at most `level`: its interval excludes zero."""
    return np.array([abs(each.difference) >= each.half_width(level / 2, scope) for each in spreads])


def equate(
    spreads: Sequence[Spread], margin: float, sides: tuple[Side, Side] = (-1, 1), scope: Scope = "images"
) -> NDArray[np.bool_]:
    """Return for each study whether both ends are inside the margin; (0, 0) for ends without a skewness correction."""
    found = []
    for each in spreads:
        low, high = (each.half_width(ERROR_RATE, scope, side) for side in sides)
        found.append(low <= margin + each.difference and high <= margin - each.difference)
    return np.array(found)


def cover(spreads: Sequence[Spread], truth: float = 0.0, scope: Scope = "images") -> NDArray[np.bool_]:
    """Return for each study whether its interval contains the true difference."""
    return np.array([abs(each.difference - truth) <= each.half_width(ERROR_RATE / 2, scope) for each in spreads])


def reach_by_t(seed_SR: NDArray[Any], tail: float = ERROR_RATE / 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each study's mean, and the half width of the paired t interval over replicates only; NaN without spread.

    Comparisons with NaN are false: without spread there is no interval and no t test.
    """
    r, spread_S = seed_SR.shape[1], seed_SR.std(axis=1, ddof=1)
    half_width_S = -stdtrit(r - 1, tail) * spread_S / np.sqrt(r)
    return seed_SR.mean(axis=1), np.where(spread_S > 1e-12, half_width_S, np.nan)
