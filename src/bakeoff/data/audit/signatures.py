"""One compact signature per image: equal for equal pixels, close for copies that were encoded or resized anew."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating]

VERSION = 2
"""Increase it when signatures or the rules for near duplicates change, so that cached ones are not used."""

SIDE = 16
"""Side of a signature's grey thumbnail."""

TINT_SIDE = 4
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_CHUNK = 2_048


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """The signatures of n images, independent of the size they are trained at.

    Attributes:
        digests: uint64 [n, 2]: 128 bits of the SHA-256 of shape and pixels. Grey images stored as colour count as grey.
        thumbnails: uint8 [n, SIDE, SIDE]: luminance, 0..255.
        tints: uint8 [n, TINT_SIDE, TINT_SIDE, 2]: blue and red minus luminance, halved, about 128.
        sizes: uint16 [n, 3]: height, width and channels; 0 if the image cannot be read.
        is_constant: bool [n]: whether all pixels are equal.
    """

    digests: npt.NDArray[np.uint64]
    thumbnails: npt.NDArray[np.uint8]
    tints: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.uint16]
    is_constant: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.digests)

    @property
    def is_readable(self) -> npt.NDArray[np.bool_]:
        """Whether each image can be read, shape [n]."""
        readable: npt.NDArray[np.bool_] = self.sizes[:, 0] > 0
        return readable

    def take(self, numbers: npt.NDArray[np.integer] | Sequence[int]) -> Signatures:
        """Return the signatures of some images, in the given order."""
        chosen = np.asarray(numbers, dtype=np.int64)
        return Signatures(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @classmethod
    def join(cls, parts: Iterable[Signatures]) -> Signatures:
        """Return the signatures of several sets of images, one after the other."""
        listed = tuple(parts)
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in listed]) for field in fields(cls)}
        )


def sign_images(pixels_NHWC: npt.NDArray[np.uint8]) -> Signatures:
    """Compute the signatures of images of one size.

    Args:
        pixels_NHWC: uint8 [n, H, W, 1 or 3].
    """
    starts = range(0, max(1, len(pixels_NHWC)), _CHUNK)
    return Signatures.join(_sign_chunk(np.ascontiguousarray(pixels_NHWC[start : start + _CHUNK])) for start in starts)


def sign_unreadable() -> Signatures:
    """Return the signature that stands for one file that cannot be read."""
    return Signatures(
        digests=np.zeros((1, 2), dtype=np.uint64),
        thumbnails=np.zeros((1, SIDE, SIDE), dtype=np.uint8),
        tints=np.full((1, TINT_SIDE, TINT_SIDE, 2), 128, dtype=np.uint8),
        sizes=np.zeros((1, 3), dtype=np.uint16),
        is_constant=np.zeros(1, dtype=np.bool_),
    )


def _sign_chunk(pixels_NHWC: npt.NDArray[np.uint8]) -> Signatures:
    num_images, height, width, channels = pixels_NHWC.shape
    is_grey = np.ones(num_images, dtype=np.bool_)
    if channels == 3:
        is_grey = (pixels_NHWC == pixels_NHWC[..., :1]).all(axis=(1, 2, 3))
    flat = pixels_NHWC.reshape(num_images, height * width * channels)
    sizes = np.empty((num_images, 3), dtype=np.uint16)
    sizes[:] = (min(height, 65_535), min(width, 65_535), 1)
    sizes[~is_grey, 2] = 3
    values = pixels_NHWC.astype(np.float32)
    luma = values @ _LUMA if channels == 3 else values[..., 0]
    tints = np.full((num_images, TINT_SIDE, TINT_SIDE, 2), 128, dtype=np.uint8)
    if not is_grey.all():
        for number, channel in enumerate((2, 0)):
            difference = _resize((values[..., channel] - luma) / 2, (TINT_SIDE, TINT_SIDE))
            tints[..., number] = np.clip(np.rint(difference + 128), 0, 255)
    shape = np.array([height, width], dtype="<u4").tobytes()
    digests = [
        hashlib.sha256(shape + (image[..., 0] if grey else image).tobytes()).digest()[:16]
        for image, grey in zip(pixels_NHWC, is_grey, strict=True)
    ]
    return Signatures(
        digests=np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2).astype(np.uint64),
        thumbnails=np.clip(np.rint(_resize(luma, (SIDE, SIDE))), 0, 255).astype(np.uint8),
        tints=tints,
        sizes=sizes,
        is_constant=(flat == flat[:, :1]).all(axis=1) if channels == 1 else _is_constant(pixels_NHWC),
    )


def _is_constant(pixels_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    constant: npt.NDArray[np.bool_] = (pixels_NHWC == pixels_NHWC[:, :1, :1]).all(axis=(1, 2, 3))
    return constant


def _resize(values_NHW: Floats, size_HW: tuple[int, int]) -> Floats:
    """Resize as Pillow's bilinear filter does: linear, and averaging when it reduces."""
    _, height, width = values_NHW.shape
    rows, columns = weigh(height, size_HW[0]), weigh(width, size_HW[1])
    resized: Floats = rows @ values_NHW @ columns.T
    return resized


@cache
def weigh(num_in: int, num_out: int, start: float = 0.0, end: float = 1.0) -> Floats:
    """Return the weights [num_out, num_in] that resample a side, or its part from `start` to `end` (fractions)."""
    scale = (end - start) * num_in / num_out
    support = max(1.0, scale)
    centers = start * num_in + (np.arange(num_out) + 0.5) * scale
    weights = 1 - np.abs(np.arange(num_in) + 0.5 - centers[:, np.newaxis]) / support
    weights = np.maximum(weights, 0)
    normalised: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def save_signatures(path: Path, signatures: Signatures) -> None:
    """Write signatures, compressed, to a file (npz)."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            version=np.int64(VERSION),
            **{each.name: getattr(signatures, each.name) for each in fields(signatures)},
        )


def load_signatures(path: Path) -> Signatures | None:
    """Read what `save_signatures` wrote; None if it is missing, damaged or of another version."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if int(arrays["version"]) != VERSION:
                return None
            found = Signatures(**{field.name: arrays[field.name] for field in fields(Signatures)})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return found if _is_whole(found) else None


def _is_whole(found: Signatures) -> bool:
    num_images = len(found.digests)
    empty = sign_unreadable()
    return all(
        getattr(found, field.name).dtype == getattr(empty, field.name).dtype
        and getattr(found, field.name).shape == (num_images, *getattr(empty, field.name).shape[1:])
        for field in fields(Signatures)
    )
