"""Finds duplicates by signatures: equal pixels, and verified copies that were encoded, resized or changed a little.

Candidates are neighbours in the space of a thumbnail's lowest frequencies (a perceptual hash in real numbers, searched
with a k-d tree); every candidate is then verified on the whole thumbnail. Luminance is compared by correlation, after
weighting every frequency by its height, so that edges must coincide and shared silhouettes do not suffice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.signatures import SIDE, Signatures, weigh

Floats: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.int64]

Change: TypeAlias = Literal["encoded", "mirrored", "cropped"]
CHANGES: tuple[Change, ...] = ("encoded", "mirrored", "cropped")
"""How a near duplicate differs: encoded, resized or exposed anew; mirrored; cropped (perhaps mirrored as well)."""

TINY_SIDE = 48
"""Grey images no larger than this must be nearly identical: different handwritten characters are very similar."""

LEAST_CORRELATION = {"tiny": 0.995, "detailed": 0.94, "cropped": 0.9}
LARGEST_DISTANCE = {"tiny": 0.05, "detailed": 0.1}
"""Largest distance of two candidates in the space of the lowest frequencies."""

LEAST_CONTRAST = 4.0
"""Standard deviation of a thumbnail, in grey levels, below which only equal pixels count: there is too little to see."""

LARGEST_TINT = 10.0
"""Largest mean difference of colour, in levels of the halved colour differences."""

CROPS = (0.05, 0.1)
"""Fractions of a side that a crop may cut away in total."""

_NUM_FREQUENCIES = 12
_CHUNK = 8_192


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which images are duplicates.

    Attributes:
        exact: int64 [n]: the number of the first image with the same pixels; its own number if there is none before it.
        near: int64 [m, 2]: verified pairs of first images, the smaller number first, sorted.
        changes: int64 [m]: how they differ, as indices of CHANGES.
    """

    exact: Numbers
    near: Numbers = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    changes: Numbers = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def find_duplicates(signatures: Signatures) -> Duplicates:
    """Return all exact duplicates and verified near duplicates among n images. Unreadable ones have none."""
    exact = _find_exact(signatures)
    firsts = np.flatnonzero((exact == np.arange(len(exact))) & signatures.is_readable)
    near, changes = _find_near(signatures.take(firsts))
    return Duplicates(exact=exact, near=firsts[near], changes=changes)


def match(signatures_a: Signatures, signatures_b: Signatures) -> Numbers:
    """Return the pairs (number in a, number in b) of images that are exact or near duplicates, int64 [m, 2], sorted."""
    found = find_duplicates(Signatures.join((signatures_a, signatures_b)))
    num_a = len(signatures_a)
    members: dict[int, tuple[list[int], list[int]]] = {}
    for number, first in enumerate(found.exact.tolist()):
        members.setdefault(first, ([], []))[number >= num_a].append(number)
    linked = [(first, first) for first in members]
    linked += [pair for a, b in found.near.tolist() for pair in ((a, b), (b, a))]
    readable = np.concatenate([signatures_a.is_readable, signatures_b.is_readable])
    pairs = {
        (a, b - num_a) for left, right in linked if readable[left] for a in members[left][0] for b in members[right][1]
    }
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _find_exact(signatures: Signatures) -> Numbers:
    num_images = len(signatures)
    _, first, inverse = np.unique(signatures.digests, axis=0, return_index=True, return_inverse=True)
    exact: Numbers = first[inverse.reshape(-1)].astype(np.int64)
    return np.where(signatures.is_readable, exact, np.arange(num_images))


def _find_near(signatures: Signatures) -> tuple[Numbers, Numbers]:
    """Return verified pairs of different images and how they differ."""
    height, width, channels = signatures.sizes.T.astype(np.int64)
    is_tiny = (channels == 1) & (np.maximum(height, width) <= TINY_SIDE)
    values = signatures.thumbnails.astype(np.float32)
    has_contrast = values.std(axis=(1, 2)) >= LEAST_CONTRAST
    found = [
        _verify(signatures, np.flatnonzero(has_contrast & is_tiny), "tiny"),
        _verify(signatures, np.flatnonzero(has_contrast & ~is_tiny), "detailed"),
    ]
    pairs = np.concatenate([each[0] for each in found])
    changes = np.concatenate([each[1] for each in found])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], changes[order]


def _verify(signatures: Signatures, numbers: Numbers, kind: Literal["tiny", "detailed"]) -> tuple[Numbers, Numbers]:
    chosen = signatures.take(numbers)
    candidates = _find_candidates(chosen.thumbnails, kind)
    best = np.full(len(candidates), -1.0, dtype=np.float32)
    changes = np.zeros(len(candidates), dtype=np.int64)
    for start in range(0, len(candidates), _CHUNK):
        part = slice(start, start + _CHUNK)
        best[part], changes[part] = _compare(chosen, candidates[part], kind)
    kept = best >= 0
    return numbers[candidates[kept]], changes[kept]


def _compare(signatures: Signatures, pairs: Numbers, kind: Literal["tiny", "detailed"]) -> tuple[Floats, Numbers]:
    """Return by how much each pair exceeds the correlation it needs (negative: no duplicates), and how it differs."""
    a, b = (signatures.thumbnails[pairs[:, side]].astype(np.float32) for side in (0, 1))
    tint_a, tint_b = (signatures.tints[pairs[:, side]].astype(np.float32) for side in (0, 1))
    best = np.full(len(pairs), -1.0, dtype=np.float32)
    changes = np.zeros(len(pairs), dtype=np.int64)
    for is_mirrored in (False, True):
        second, tint = (b[:, :, ::-1], tint_b[:, :, ::-1]) if is_mirrored else (b, tint_b)
        same_tint = np.abs(tint_a - tint).mean(axis=(1, 2, 3)) <= LARGEST_TINT
        excess = _correlate(_emphasise(a), _emphasise(second)) - LEAST_CORRELATION[kind]
        code = np.full(len(pairs), CHANGES.index("mirrored" if is_mirrored else "encoded"))
        if kind == "detailed":
            cropped = (
                np.maximum(_correlate_crops(a, second), _correlate_crops(second, a)) - LEAST_CORRELATION["cropped"]
            )
            code[(excess < 0) & (cropped >= 0)] = CHANGES.index("cropped")
            excess = np.where(excess >= 0, excess, cropped)
        better = same_tint & (excess >= 0) & (excess > best)
        best[better], changes[better] = excess[better], code[better]
    return best, changes


def _correlate(a: Floats, b: Floats) -> Floats:
    correlation: Floats = np.einsum("nij,nij->n", a, b)
    return correlation


def _correlate_crops(whole: Floats, part: Floats) -> Floats:
    """Return the best correlation of `part` with slightly cropped versions of `whole`."""
    emphasised = _emphasise(part)
    best = np.full(len(whole), -1.0, dtype=np.float32)
    for cut in CROPS:
        for top in (0, cut / 2, cut):
            rows = weigh(SIDE, SIDE, top, 1 - cut + top)
            for left in (0, cut / 2, cut):
                columns = weigh(SIDE, SIDE, left, 1 - cut + left)
                best = np.maximum(best, _correlate(_emphasise(rows @ whole @ columns.T), emphasised))
    return best


def _emphasise(thumbnails: Floats) -> Floats:
    """Return thumbnails' spectra with every frequency weighted by its height, as unit vectors, [n, SIDE, SIDE]."""
    basis, weights = _cosines()
    spectra = (basis @ thumbnails @ basis.T) * weights
    norms = np.sqrt(np.einsum("nij,nij->n", spectra, spectra))
    return spectra / np.maximum(norms, 1e-6)[:, np.newaxis, np.newaxis]


@cache
def _cosines() -> tuple[Floats, Floats]:
    """Return the orthonormal DCT-II [SIDE, SIDE], and the frequency of every coefficient, 0 beyond three quarters."""
    from scipy.fft import dct

    basis: Floats = dct(np.eye(SIDE), axis=0, norm="ortho").astype(np.float32)
    height = np.hypot(*np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"))
    return basis, np.where(height <= 0.75 * SIDE, height, 0).astype(np.float32)


def _find_candidates(thumbnails: npt.NDArray[np.uint8], kind: Literal["tiny", "detailed"]) -> Numbers:
    """Return pairs of images that are neighbours by their lowest frequencies, mirrored or not; int64 [m, 2]."""
    from scipy.spatial import cKDTree

    if len(thumbnails) < 2:
        return np.empty((0, 2), dtype=np.int64)
    radius = LARGEST_DISTANCE[kind]
    points, owners = _orient(_find_lowest(thumbnails.astype(np.float32)), radius)
    if kind == "detailed":
        for cut in CROPS:
            weights = weigh(SIDE, SIDE, cut / 2, 1 - cut / 2)
            cropped = weights @ thumbnails.astype(np.float32) @ weights.T
            more, of = _orient(_find_lowest(cropped), radius)
            points, owners = np.concatenate([points, more]), np.concatenate([owners, of])
    near = cKDTree(points, leafsize=32, balanced_tree=False).query_pairs(radius, output_type="ndarray")
    pairs = np.sort(owners[near], axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(pairs, axis=0)


def _find_lowest(thumbnails: Floats) -> Floats:
    """Return the lowest frequencies of thumbnails of unit contrast; those of odd horizontal frequency come first."""
    basis, _ = _cosines()
    down, right = _choose_frequencies()
    spectra = basis[:8] @ thumbnails @ basis[:8].T
    deviations = thumbnails.std(axis=(1, 2)) * SIDE
    lowest: Floats = spectra[:, down, right] / np.maximum(deviations, 1e-3)[:, np.newaxis]
    return lowest


@cache
def _choose_frequencies() -> tuple[Numbers, Numbers]:
    down, right = (each.ravel() for each in np.meshgrid(np.arange(8), np.arange(8), indexing="ij"))
    lowest = np.argsort(down**2 + right**2, kind="stable")[1 : _NUM_FREQUENCIES + 1]
    ordered = lowest[np.argsort(right[lowest] % 2 == 0, kind="stable")]
    return down[ordered], right[ordered]


def _orient(points: Floats, radius: float) -> tuple[Floats, Numbers]:
    """Mirror every point so that its first coordinate is positive: mirrored images become neighbours.

    Points whose first coordinate is near zero are included both ways.

    Returns:
        The points, and the number of the image that each belongs to.
    """
    _, right = _choose_frequencies()
    mirrored = points * np.where(right % 2 == 1, -1, 1).astype(np.float32)
    is_positive = points[:, :1] >= 0
    unsure = np.flatnonzero(np.abs(points[:, 0]) <= radius)
    oriented = np.where(is_positive, points, mirrored)
    other = np.where(is_positive, mirrored, points)[unsure]
    return np.concatenate([oriented, other]), np.concatenate([np.arange(len(points)), unsure])
