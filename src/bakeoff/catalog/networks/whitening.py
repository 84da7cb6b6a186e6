"""Whitening filters: from a covariance of patches to a convolution's weights, in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def whitening_filters(covariance: npt.NDArray[np.float64], epsilon: float) -> npt.NDArray[np.float32]:
    """Return the filters that whiten patches of this covariance (P, P), and their negatives: (2P, P), float32.

    Rows are eigenvectors divided by the root of eigenvalue plus `epsilon`, largest first, each with the sign that makes
    its largest entry positive.
    """
    values, vectors = np.linalg.eigh(covariance)
    rows = (vectors / np.sqrt(np.maximum(values, 0.0) + epsilon)).T[::-1]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    rows = rows * np.sign(largest)
    return np.concatenate([rows, -rows]).astype(np.float32)
