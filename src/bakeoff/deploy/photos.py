"""The images to predict: found by path, folder or manifest, or given as arrays, and decoded as in training."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.data.folders import SUFFIXES
from bakeoff.data.parallel import map_in_order
from bakeoff.data.source import Colour, Fit, find_kind, show_text
from bakeoff.errors import ImagesNotFoundError, ManifestError, UnreadableImagesError

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""One decoded image, uint8 [H, W, C]."""

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")

CHUNK = 256
"""Images decoded at a time."""


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be predicted, and why."""

    path: str
    reason: str


def list_photos(places: Sequence[str | Path]) -> list[str]:
    """Return the image files in files, folders (at any depth) and manifests (column `path`), each once, in order.

    Raises:
        DataError: a place does not exist, or a folder or manifest names no image.
    """
    found: dict[str, None] = {}
    for place in map(Path, places):
        kind = find_kind(place)
        if kind == "folder":
            inside = sorted(str(path) for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise ImagesNotFoundError(f"{show_text(place)} contains no images.")
            found.update(dict.fromkeys(inside))
        elif place.suffix.lower() in TABLE_SUFFIXES and kind == "file":
            found.update(dict.fromkeys(_read_table(place)))
        elif kind != "nothing":
            found[str(place)] = None
        else:
            raise ImagesNotFoundError(f"There is no file or folder {show_text(place)}.")
    return list(found)


def _read_table(table: Path) -> list[str]:
    """Return the paths in the column `path` of a text table, joined to its folder."""
    where = show_text(table)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            delimiter = next((mark for mark in ",;\t" if mark in header), ",")
            stream.seek(0)
            rows = list(csv.DictReader(stream, delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{where} cannot be read as a table: {show_text(error)}.") from error
    column = next((name for name in (rows[0] if rows else ()) if str(name).strip().lower() == "path"), None)
    if column is None:
        raise ManifestError(f"{where} needs a header with a column called path, and rows below it.")
    return [os.path.join(table.absolute().parent, row[column].strip()) for row in rows if (row[column] or "").strip()]


def decode_photos(
    paths: Sequence[str], shape_HWC: tuple[int, int, int], fit: Fit
) -> Iterator[tuple[list[str | Unreadable], Pixels]]:
    """Decode files as the test images of training were, in chunks, on all cores.

    Args:
        paths: image files.
        shape_HWC: the shape that the model expects.
        fit: how images of another aspect ratio are brought to it.

    Yields:
        The files of a chunk, in order, and the pixels [n, H, W, C] of those that can be read.
    """
    from bakeoff.data.pictures import PictureError, read_picture, silence_pillow

    def read(path: str) -> Pixels | Unreadable:
        try:
            return read_picture(path, shape_HWC[:2], _colour(shape_HWC), fit).pixels_HWC
        except PictureError as error:
            return Unreadable(path, str(error))

    with silence_pillow():
        decoded = map_in_order(read, paths, batch=32)  # the next chunk is decoded while a model sees this one
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            made = list(itertools.islice(decoded, len(chunk)))
            kept = [each for each in made if isinstance(each, np.ndarray)]
            pixels = np.stack(kept) if kept else np.zeros((0, *shape_HWC), np.uint8)
            named = zip(chunk, made, strict=True)
            yield [each if isinstance(each, Unreadable) else path for path, each in named], pixels


def convert_images(images: Any, shape_HWC: tuple[int, int, int], fit: Fit) -> Pixels:
    """Decode images given in memory as files are decoded.

    Args:
        images: one, or a sequence of: PIL images; uint8 arrays [H, W], [H, W, C]; arrays or tensors of 0..1 floats;
            tensors [C, H, W]; paths. A batch [N, H, W, C] (a tensor: [N, C, H, W]) works too.
        shape_HWC: the shape that the model expects.
        fit: how images of another aspect ratio are brought to it.

    Returns:
        uint8 [n, H, W, C].

    Raises:
        DataError: an image of another kind, or one that cannot be read; names its position.
    """
    from bakeoff.data.pictures import PictureError, decode_image, read_picture

    made: list[Pixels] = []
    for number, image in enumerate(_split(images)):
        try:
            if isinstance(image, str | os.PathLike):
                made.append(read_picture(os.fspath(image), shape_HWC[:2], _colour(shape_HWC), fit).pixels_HWC)
            else:
                made.append(decode_image(_to_pillow(image), shape_HWC[:2], _colour(shape_HWC), fit).pixels_HWC)
        except (PictureError, TypeError, ValueError) as error:
            raise UnreadableImagesError(f"image {number} cannot be used: {show_text(error)}.") from error
    return np.stack(made) if made else np.zeros((0, *shape_HWC), np.uint8)


def _split(images: Any) -> list[Any]:
    """Return a list of single images."""
    if isinstance(images, str | os.PathLike) or hasattr(images, "getbbox"):  # a path, a PIL image
        return [images]
    ndim: int | None = getattr(images, "ndim", None)
    if ndim is None and not isinstance(images, Iterable):
        raise UnreadableImagesError(f"{show_text(images)} is no image: give paths, PIL images, arrays or tensors.")
    return list(images) if ndim in (None, 1, 4) else [images]


def _to_pillow(image: Any) -> Image.Image:
    """Return an array, a tensor or a PIL image as a PIL image.

    Raises:
        TypeError, ValueError: it is none of these, or not an image.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        return image
    if hasattr(image, "detach"):  # a tensor, channels first; without importing torch
        pixels = image.detach().cpu()
        array = np.asarray((pixels.float() if pixels.is_floating_point() else pixels).numpy())  # NumPy has no bfloat16
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    else:
        array = np.asarray(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"an array of shape {array.shape} is no image: give [H, W] or [H, W, 1, 3 or 4]")
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ValueError("floating-point pixels must be from 0 to 1")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"pixels of type {array.dtype}: give uint8, or floats from 0 to 1")
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _colour(shape_HWC: tuple[int, int, int]) -> Colour:
    return "grey" if shape_HWC[2] == 1 else "rgb"
