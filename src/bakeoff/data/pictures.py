"""Decodes an image file of any common format to 8-bit grayscale or RGB pixels, with Pillow."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from bakeoff.data.fitting import draft, fit_image, read_orientation, turn_box
from bakeoff.data.source import Colour, Fit, find_kind
from bakeoff.extras import how_to_install

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Accepted formats; HEIF needs pillow-heif. Pillow's other formats run programs (EPS) or have no signature (TGA)."""

MAX_PIXELS = 89_478_485
"""Larger images count as decompression bombs, as in Pillow: 256 MiB as RGB."""

FEWEST_READS = 20_000
BYTES_PER_READ = 64
"""How often Pillow may read from a file: a GIF is read in blocks of 255 bytes and their lengths, all else in larger
pieces. A decoder that reads byte by byte is processing an endless header.
"""

MAX_SCANS = 100
"""Maximum scans of a progressive JPEG: ten are common, and each visits all pixels however few bytes it has."""

MAX_COMMENTS = 1_000
"""Maximum comments in a text PNM file: Pillow copies the rest of a megabyte for each of them."""

_HEIF_MARKS = tuple(
    b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
)
_ROTATION_KEYS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_PLAIN_FORMATS = ("PNG", "BMP", "DIB", "GIF", "PPM")


class PictureError(Exception):
    """A file cannot be decoded; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded image.

    Attributes:
        pixels_HWC: uint8 [H, W, 1 or 3].
        lost_colour: whether it was converted to grayscale.
        original_HW: height and width before resizing, upright.
        has_frames: whether the file contains more frames than the one used.
    """

    pixels_HWC: npt.NDArray[np.uint8]
    lost_colour: bool
    original_HW: tuple[int, int]
    has_frames: bool


@contextmanager
def silence_pillow() -> Iterator[None]:
    """Suppress Pillow's warnings about odd files: relevant problems are errors, and are reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_picture(
    path: str, size_HW: tuple[int, int] | None = None, colour: Colour | None = None, fit: Fit = "stretch"
) -> Picture:
    """Decode one image file.

    EXIF rotation is applied; transparency is composited on white; 16-bit values are divided by 257; CMYK and palettes
    become RGB; only the first frame is used. Resizing is bilinear with antialiasing. A JPEG that is much larger
    than the target is decoded at 1/2, 1/4 or 1/8 of its size.

    Args:
        path: the file.
        size_HW: the target height and width in pixels; None: no resizing.
        colour: one channel or three; None: one if red, green and blue are equal in every pixel.
        fit: how an image of another aspect ratio is brought to the target.

    Raises:
        PictureError: empty, truncated, not an image, too large, or of unknown value range.
    """
    with _open(path) as image:
        return decode_image(image, size_HW, colour, fit)


def read_size(path: str) -> tuple[int, int]:
    """Return an image's height and width, upright, from its header.

    Raises:
        PictureError: as in `read_picture`, as far as the header shows it.
    """
    with _open(path) as image:
        height, width = image.height, image.width
        return (width, height) if read_orientation(image) >= 5 else (height, width)


@contextmanager
def _open(path: str) -> Iterator[Image.Image]:
    """Open an image file within its limits.

    Raises:
        PictureError: whatever is wrong, also while the image is used.
    """
    if find_kind(path) == "other":
        raise PictureError("not a regular file")
    try:
        with _MeteredFile(path) as file, Image.open(file, formats=_known_formats()) as image:
            _check_work(image, file)
            yield image
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        if _is_heif(path):
            raise PictureError(f"HEIC, which needs pillow-heif: {how_to_install('heif')}") from error
        raise PictureError("not an image of a known format, or its header is damaged") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"more than {MAX_PIXELS:,} pixels") from error
    except MemoryError as error:
        raise PictureError("does not fit into memory") from error
    # On malformed files Pillow raises undocumented exceptions of many kinds.
    except Exception as error:
        raise PictureError(_explain(error)) from error


class _MeteredFile(io.BufferedReader):
    """A file with a limited number of reads, which bounds the time of byte-by-byte readers."""

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))
        self.num_bytes = self.seek(0, io.SEEK_END)
        self.seek(0)
        self.num_reads_left = FEWEST_READS + self.num_bytes // BYTES_PER_READ

    def read(self, size: int | None = -1, /) -> bytes:
        self.num_reads_left -= 1
        if self.num_reads_left < 0:
            raise PictureError("damaged: an endless header")
        return super().read(size)


def _check_work(image: Image.Image, file: _MeteredFile) -> None:
    """Reject files whose decoding time is out of proportion to their pixels.

    Raises:
        PictureError: a progressive JPEG with very many scans, or a text PNM with very many comments.
    """
    if image.format in ("BMP", "DIB"):
        file.num_reads_left += min(file.num_bytes, 2 * image.width * image.height)
    elif (
        image.format in ("JPEG", "MPO")
        and "progressive" in image.info
        and _count(file, b"\xff\xda", MAX_SCANS) > MAX_SCANS
    ):
        raise PictureError(f"a JPEG of more than {MAX_SCANS} scans")
    elif image.format == "PPM" and _is_plain(image) and _count(file, b"#", MAX_COMMENTS) > MAX_COMMENTS:
        raise PictureError(f"more than {MAX_COMMENTS:,} comments")


def _is_plain(image: Image.Image) -> bool:
    return any(str(tile[0]) == "ppm_plain" for tile in getattr(image, "tile", ()))


def _count(file: _MeteredFile, mark: bytes, most: int) -> int:
    """Count a byte sequence in a file, up to one above `most`, and restore the file position."""
    position, found, tail = file.tell(), 0, b""
    file.seek(0)
    while found <= most and (block := io.BufferedReader.read(file, 1 << 20)):
        found += (tail + block).count(mark)
        tail = block[-1:] if len(mark) > 1 else b""
    file.seek(position)
    return found


@cache
def _known_formats() -> tuple[str, ...]:
    Image.init()
    with suppress(ImportError):
        heif = importlib.import_module("pillow_heif")
        heif.options.DECODE_THREADS = 1  # images are decoded side by side already
        heif.register_heif_opener(thumbnails=False)
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _is_heif(path: str) -> bool:
    """Return whether a file that Pillow does not know says that it is HEIC or HEIF, and no reader for it is there."""
    with suppress(OSError), open(path, "rb") as file:
        return "HEIF" not in _known_formats() and file.read(12)[4:] in _HEIF_MARKS
    return False


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged: {text[:80] or type(error).__name__}"


def decode_image(image: Image.Image, size_HW: tuple[int, int] | None, colour: Colour | None, fit: Fit) -> Picture:
    """Convert an opened image as `read_picture` does.

    Raises:
        PictureError: as there; damaged files raise other exceptions of Pillow.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"{width:,}x{height:,}, more than {MAX_PIXELS:,} pixels")
    if width * height == 0:
        raise PictureError("has no pixels")
    box = None if size_HW is None else draft(image, size_HW, fit)
    orientation = 1 if box is None else read_orientation(image)
    image.load()
    has_frames = bool(getattr(image, "is_animated", False))
    image_format, stored_WH = image.format or "", image.size
    flat = _flatten(_turn_upright(image), image_format)
    original_WH = flat.size
    if box is not None:
        box = turn_box(box, stored_WH, orientation)
        original_WH = (width, height) if orientation < 5 else (height, width)
    if size_HW is not None:
        flat = fit_image(flat, box, original_WH, size_HW, fit)
    return Picture(*_to_pixels(flat, colour), original_HW=(original_WH[1], original_WH[0]), has_frames=has_frames)


def _turn_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; skipped, for speed, if the file has no EXIF data."""
    if image.format in _PLAIN_FORMATS and not any(key in image.info for key in _ROTATION_KEYS):
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Unreadable EXIF data: the pixels are intact, and no rotation is known.
        return image


def _flatten(image: Image.Image, image_format: str) -> Image.Image:
    """Return the image as L or RGB, with transparency composited on white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image_format in ("PNG", "PPM")):
        return _reduce_16_bit(image)
    if image.mode in ("I", "F"):
        raise PictureError(
            f"{image_format or 'an image'} with 32-bit pixels, whose range is not known; save it with 8 or 16 bits"
        )
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _composite_on_white(image)
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _reduce_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise PictureError("pixels outside 0 to 65,535")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = 65_535
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _composite_on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")


def _to_pixels(image: Image.Image, colour: Colour | None) -> tuple[npt.NDArray[np.uint8], bool]:
    """Return pixels [H, W, 1 or 3], and whether colour was lost."""
    if colour == "rgb":
        return np.asarray(image.convert("RGB")), False
    pixels = np.asarray(image)
    if image.mode == "L":
        return pixels[..., np.newaxis], False
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]):
        return pixels[..., :1], False
    if colour == "grey":
        return np.asarray(image.convert("L"))[..., np.newaxis], True
    return pixels, False


def describe_decoder() -> str:
    """Return the decoder's version: another one may decode a JPEG with differences of one level, or more formats."""
    try:
        return f"Pillow {PIL.__version__}, pillow-heif {importlib.metadata.version('pillow-heif')}"
    except importlib.metadata.PackageNotFoundError:
        return f"Pillow {PIL.__version__}"
