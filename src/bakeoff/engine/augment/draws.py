"""Counter-based random numbers: a pure function of their purpose, without state or order. NumPy only.

With a sequential generator an image's numbers would depend on its batch. These are computed from (seed, epoch, image,
step), so arms that share a step get the same draws whatever else they do, and a resumed epoch gets them again.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

AUGMENTATION_STREAM = 1_000_006
"""Separates augmentation's random stream from others derived from the replicate's seed."""

_Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_UNIT = 2.0**-53
_SPARE_BITS = np.uint64(11)


def uniform(
    seed: int,
    epoch: int,
    image_numbers_N: npt.NDArray[np.int64],
    step: str,
    occurrence: int,
    num_draws: int,
    *,
    stream: int = AUGMENTATION_STREAM,
) -> npt.NDArray[np.float64]:
    """Draw numbers from [0, 1) for every image: a pure function of the arguments, row by row.

    Args:
        seed: the replicate's seed.
        epoch: the epoch, counted from 1.
        image_numbers_N: the images' positions in their dataset.
        step: the name of the step (`rotation`).
        occurrence: 0 for the first step with that name in a recipe, 1 for the second, ...
        num_draws: random numbers per image.
        stream: separates uses with the same values of all of the above.

    Returns:
        Numbers of shape (N, num_draws), multiples of 2^-53. Row n depends only on `image_numbers_N[n]`, and column d
        does not depend on `num_draws`.

    Source: the output function of SplitMix64 (Steele, Lea and Flood 2014, Fast splittable pseudorandom number
        generators), applied to the image's number and again to the draw's, each time with half of a 128-bit key.
    """
    key_image, key_draw = _make_key(seed, epoch, step, occurrence, stream)
    numbers_N = np.asarray(image_numbers_N, dtype=np.int64).astype(np.uint64)
    hashed_N = _mix((numbers_N + np.uint64(1)) * _GOLDEN + key_image)
    counters_D = np.arange(1, num_draws + 1, dtype=np.uint64) * _GOLDEN + key_draw
    bits_ND = _mix(hashed_N[:, None] ^ _mix(counters_D))
    return (bits_ND >> _SPARE_BITS).astype(np.float64) * _UNIT


def _make_key(seed: int, epoch: int, step: str, occurrence: int, stream: int) -> _Words:
    """Return two 64-bit words, a hash of everything except the image and the draw; the same on every machine."""
    text = f"{stream}/{seed}/{epoch}/{occurrence}/{step}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _mix(words: _Words) -> _Words:
    """Scramble each word so that any change of one bit changes about half of the others."""
    words = (words ^ (words >> _SHIFTS[0])) * _MIX_1
    words = (words ^ (words >> _SHIFTS[1])) * _MIX_2
    return words ^ (words >> _SHIFTS[2])
