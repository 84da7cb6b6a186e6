"""Decodes listed images to disk one by one, so that a folder of any size can be handled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from bakeoff.data.decode import Decoded
from bakeoff.data.group_draws import number_groups
from bakeoff.data.listing import ImageFile, Rejected, format_paths, format_rejected
from bakeoff.data.pictures import Picture, PictureError, read_picture, silence_pillow
from bakeoff.data.source import Colour, show_text
from bakeoff.errors import DataError

_CHUNK_BYTES = 1 << 24
_MAX_SIZES_COUNTED = 2_000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The requested form of the decoded images.

    Attributes:
        where: the folder or manifest, for messages.
        class_names: in label order.
        size_HW: the size that all images are resized to; None: they must have the same size.
        colour: one channel or three; None: one if all images are grayscale.
        fit_HW: a size that all images are converted to (for test images: the size of the training images).
        is_test: whether this is the test split, in which a class may have no images.
    """

    where: str
    class_names: tuple[str, ...]
    size_HW: tuple[int, int] | None = None
    colour: Colour | None = None
    fit_HW: tuple[int, int] | None = None
    is_test: bool = False


@dataclass
class _Progress:
    """Progress of decoding. Pixels are in a file: `num_grey` images with one channel, then images with three."""

    stream: BinaryIO
    size_HW: tuple[int, int] | None = None
    num_grey: int = 0
    has_colour: bool = False
    kept: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    with_frames: list[str] = field(default_factory=list)
    turned_grey: list[str] = field(default_factory=list)
    original_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)


def collect_images(files: Sequence[ImageFile], rejected: Sequence[Rejected], wanted: Wanted, folder: Path) -> Decoded:
    """Decode images into `folder`/pixels.npy.

    Args:
        files: what to decode, in order.
        rejected: files of the same part that are known to be missing; they count as unreadable.
        wanted: size, colour and classes.
        folder: where the pixels are written.

    Returns:
        Pixels as a read-only memory map of that file, labels, validation images of the source's own, and notes.

    Raises:
        DataError: images of different sizes, more than half unreadable, or a class left without images.
        OSError: the folder cannot be written.
    """
    raw = folder / "pixels.raw"
    with silence_pillow(), raw.open("w+b") as stream:
        progress = _Progress(stream, rejected=list(rejected))
        for number in range(len(files)):
            _take(progress, number, files, wanted)
        _check_enough(progress, len(files) + len(rejected), wanted)
        pixels = _write_pixels(progress, folder / "pixels.npy")
    raw.unlink()
    kept = [files[number] for number in progress.kept]
    labels = _label(kept, progress.rejected, wanted)
    own = np.flatnonzero([file.part == "validation" for file in kept]).astype(np.int64)
    return Decoded(
        pixels=pixels,
        labels=labels,
        class_names=wanted.class_names,
        own_validation=own if len(own) else None,
        groups=number_groups([file.group for file in kept]),
        files=tuple(file.shown for file in kept),
        notes=(*_make_notes(progress, len(files) + len(rejected), wanted), *_name_lacking(labels, wanted)),
    )


def _take(progress: _Progress, number: int, files: Sequence[ImageFile], wanted: Wanted) -> None:
    file = files[number]
    try:
        if file.num_bytes == 0:
            raise PictureError("empty")
        picture = read_picture(file.path, wanted.size_HW or wanted.fit_HW, wanted.colour)
    except PictureError as error:
        progress.rejected.append(Rejected(file.shown, str(error), file.part))
        return
    size_HW = picture.pixels_HWC.shape[:2]
    progress.size_HW = progress.size_HW or size_HW
    if size_HW != progress.size_HW:
        raise DataError(_list_sizes(progress, number, files, wanted))
    progress.original_sizes[picture.original_HW] += 1
    if picture.has_frames:
        progress.with_frames.append(file.shown)
    if picture.lost_colour:
        progress.turned_grey.append(file.shown)
    _append(progress, picture)
    progress.kept.append(number)


def _append(progress: _Progress, picture: Picture) -> None:
    pixels = picture.pixels_HWC
    if pixels.shape[2] == 3:
        progress.has_colour = True
    elif progress.has_colour:
        pixels = np.repeat(pixels, 3, axis=2)
    else:
        progress.num_grey += 1
    progress.stream.write(np.ascontiguousarray(pixels).data)


def _list_sizes(progress: _Progress, number: int, files: Sequence[ImageFile], wanted: Wanted) -> str:
    """Count the original sizes of the first files, for a message that suggests the most common one."""
    sizes = Counter(progress.original_sizes)
    examples = dict.fromkeys(list(sizes)[:1], files[progress.kept[0]].shown)
    for file in files[number : number + _MAX_SIZES_COUNTED]:
        try:
            size = read_picture(file.path).original_HW
        except PictureError:
            continue
        sizes[size] += 1
        examples.setdefault(size, file.shown)
        if len(sizes) >= 5:
            break
    listed = ", ".join(
        f"{width}x{height} ({show_text(examples[height, width])})" for height, width in list(examples)[:5]
    )
    height, width = sizes.most_common(1)[0][0]
    size_text = f"{height}" if height == width else f"[{height}, {width}]"
    return (
        f"{show_text(wanted.where)}: its images have different sizes (width x height): {listed}. Set the size "
        f"to resize them to, as image_size: {size_text}."
    )


def _check_enough(progress: _Progress, num_files: int, wanted: Wanted) -> None:
    if len(progress.rejected) * 2 > num_files or not progress.kept:
        raise DataError(
            f"{show_text(wanted.where)}: {len(progress.rejected):,} of {num_files:,} images cannot be read: "
            f"{format_rejected(progress.rejected)}."
        )


def _label(kept: Sequence[ImageFile], rejected: Sequence[Rejected], wanted: Wanted) -> npt.NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(wanted.class_names)}
    labels = np.array([numbers[file.class_name] for file in kept], dtype=np.int64)
    trained = {file.class_name for file in kept if file.part != "validation"}
    empty = [name for name in wanted.class_names if name not in trained]
    if empty and not wanted.is_test:
        raise DataError(
            f"{show_text(wanted.where)}: class '{empty[0]}' has no image that can be read: "
            f"{format_rejected(rejected)}. Replace its files, or leave the class out with classes."
        )
    return labels


def _name_lacking(labels: npt.NDArray[np.int64], wanted: Wanted) -> tuple[str, ...]:
    """Return a note on classes without test images; in training that is an error."""
    present = set(labels.tolist())
    lacking = [name for number, name in enumerate(wanted.class_names) if number not in present]
    return (f"the test split has no images of {format_paths(lacking)}",) if lacking else ()


def _write_pixels(progress: _Progress, path: Path) -> npt.NDArray[np.uint8]:
    """Copy the pixels behind a NumPy header; grayscale images are repeated to three channels if others have colour."""
    if progress.size_HW is None:
        raise DataError("There are no images to write.")
    num_channels = 3 if progress.has_colour else 1
    shape = (len(progress.kept), *progress.size_HW, num_channels)
    progress.stream.seek(0)
    # Written, not memory-mapped: a full disk is an error when writing, but kills the process when mapped.
    with path.open("wb") as target:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(target, header)
        _copy(progress, target, progress.num_grey, 1, num_channels)
        _copy(progress, target, len(progress.kept) - progress.num_grey, 3, num_channels)
        target.flush()
        os.fsync(target.fileno())
    pixels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


def _copy(progress: _Progress, target: BinaryIO, num_images: int, num_stored: int, num_channels: int) -> None:
    """Copy images with `num_stored` channels, repeating one channel to three if `num_channels` is three."""
    height, width = progress.size_HW or (0, 0)
    num_bytes = height * width * num_stored
    step = max(1, _CHUNK_BYTES // num_bytes)
    for start in range(0, num_images, step):
        chunk = progress.stream.read(min(step, num_images - start) * num_bytes)
        target.write(chunk if num_stored == num_channels else np.repeat(np.frombuffer(chunk, np.uint8), 3).data)


def _make_notes(progress: _Progress, num_files: int, wanted: Wanted) -> tuple[str, ...]:
    notes = []
    if progress.rejected:
        notes.append(
            f"{len(progress.rejected):,} of {num_files:,} files left out: {format_rejected(progress.rejected)}"
        )
    if progress.with_frames:
        names = format_paths(progress.with_frames)
        notes.append(
            f"{len(progress.with_frames):,} files have several frames, of which only the first is used: {names}"
        )
    if progress.turned_grey and wanted.is_test:
        names = format_paths(progress.turned_grey)
        notes.append(f"{len(progress.turned_grey):,} test images converted to grey, like the training images: {names}")
    if progress.size_HW is not None and set(progress.original_sizes) != {progress.size_HW}:
        height, width = progress.size_HW
        others = len(set(progress.original_sizes) - {progress.size_HW})
        notes.append(f"resized to {width}x{height} (bilinear) from {others:,} other size{'s' if others > 1 else ''}")
    return tuple(notes)
