"""Decodes listed images to disk, on all cores and in chunks, so that a folder of any size can be handled."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.chunks import Outcome, PixelStore
from bakeoff.data.content import check_unchanged
from bakeoff.data.decode import Decoded
from bakeoff.data.group_draws import number_groups
from bakeoff.data.listing import ImageFile, Rejected, format_paths, format_rejected
from bakeoff.data.parallel import map_in_order
from bakeoff.data.pictures import PictureError, read_picture, read_size, silence_pillow
from bakeoff.data.progress import ReadingProgress
from bakeoff.data.sizes import suggest_side
from bakeoff.data.source import Colour, Fit, show_text
from bakeoff.errors import UnreadableImagesError

CHUNK_FILES = 256
CHUNK_SECONDS = 2.0
"""The most files, and about the longest time, per chunk: what a killed process loses."""

_SMALL_PIXELS = 1 << 16
_BATCH = 8
"""Files that a thread decodes in a row, if the results are small."""

_MAX_SIZES_COUNTED = 2_000
_MOST_SIZES = 5


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The requested form of the decoded images.

    Attributes:
        where: the folder or manifest, for messages.
        class_names: in label order.
        size_HW: the size that all images are resized to; None: they must have the same size.
        colour: one channel or three; None: one if all images are grayscale.
        fit: how images of another aspect ratio are brought to a size.
        fit_HW: a size that all images are converted to (for test images: the size of the training images).
        is_test: whether this is the test split, in which a class may have no images.
    """

    where: str
    class_names: tuple[str, ...]
    size_HW: tuple[int, int] | None = None
    colour: Colour | None = None
    fit: Fit = "stretch"
    fit_HW: tuple[int, int] | None = None
    is_test: bool = False

    @property
    def target_HW(self) -> tuple[int, int] | None:
        """The size that images are brought to, if any."""
        return self.size_HW or self.fit_HW


def collect_images(files: Sequence[ImageFile], rejected: Sequence[Rejected], wanted: Wanted, folder: Path) -> Decoded:
    """Decode images into `folder`/pixels.npy, on all cores; what a killed process finished there is taken over.

    Args:
        files: what to decode, in order.
        rejected: files of the same part that are known to be missing; they count as unreadable.
        wanted: size, colour and classes.
        folder: where the pixels are written.

    Returns:
        Pixels as a read-only memory map of that file, labels, validation images of the source's own, and notes. They
        do not depend on the number of cores.

    Raises:
        DataError: images of different sizes, more than half unreadable, a class left without images, or a file that
            changed meanwhile.
        OSError: the folder cannot be written.
    """
    with silence_pillow(), PixelStore(folder) as store:
        _decode_files(files, wanted, store)
        all_rejected = (*rejected, *_list_rejected(files, store.outcomes))
        _check_enough(all_rejected, len(files) + len(rejected), wanted)
        kept = [file for file, outcome in zip(files, store.outcomes, strict=True) if not outcome.reason]
        labels = _label(kept, all_rejected, wanted)
        pixels = store.finish()
        notes = _make_notes(files, all_rejected, store, wanted)
    own = np.flatnonzero([file.part == "validation" for file in kept]).astype(np.int64)
    return Decoded(
        pixels=pixels,
        labels=labels,
        class_names=wanted.class_names,
        own_validation=own if len(own) else None,
        groups=number_groups([file.group for file in kept]),
        files=tuple(file.shown for file in kept),
        notes=(*notes, *_name_lacking(labels, wanted)),
    )


def _decode_files(files: Sequence[ImageFile], wanted: Wanted, store: PixelStore) -> None:
    """Decode the files that the store does not have yet."""
    done = len(store.outcomes)
    progress = ReadingProgress(f"{show_text(wanted.where)}: decoding", len(files), done)
    batch = 1 if wanted.target_HW is None or math.prod(wanted.target_HW) > _SMALL_PIXELS else _BATCH
    decode = partial(_decode_file, wanted=wanted)
    first_in_chunk, started = done, time.monotonic()
    for number, (outcome, pixels) in enumerate(map_in_order(decode, files[done:], batch=batch), start=done):
        if pixels is not None and store.size_HW not in (None, pixels.shape[:2]):
            raise UnreadableImagesError(_refuse_sizes(store.outcomes, number, files, wanted))
        store.append(outcome, pixels)
        if number + 1 - first_in_chunk == CHUNK_FILES or time.monotonic() - started > CHUNK_SECONDS:
            # What is taken over later must be what the files' hash was computed of.
            check_unchanged((file.stamp for file in files[first_in_chunk : number + 1]), show_text(wanted.where))
            store.commit()
            first_in_chunk, started = number + 1, time.monotonic()
        progress.show(number + 1)


def _decode_file(file: ImageFile, wanted: Wanted) -> tuple[Outcome, npt.NDArray[np.uint8] | None]:
    try:
        if file.num_bytes == 0:
            raise PictureError("empty")
        picture = read_picture(file.path, wanted.target_HW, wanted.colour, wanted.fit)
    except PictureError as error:
        return Outcome(reason=str(error)), None
    outcome = Outcome(original_HW=picture.original_HW, lost_colour=picture.lost_colour, has_frames=picture.has_frames)
    return outcome, picture.pixels_HWC


def _list_rejected(files: Sequence[ImageFile], outcomes: Sequence[Outcome]) -> list[Rejected]:
    found = zip(files, outcomes, strict=True)
    return [Rejected(file.shown, outcome.reason, file.part) for file, outcome in found if outcome.reason]


def _refuse_sizes(outcomes: Sequence[Outcome], number: int, files: Sequence[ImageFile], wanted: Wanted) -> str:
    """Count the original sizes of the first files, for a message that suggests a size for all."""
    sizes, examples = Counter[tuple[int, int]](), dict[tuple[int, int], str]()
    for file, outcome in zip(files, outcomes, strict=False):
        if not outcome.reason:
            sizes[outcome.original_HW] += 1
            examples.setdefault(outcome.original_HW, file.shown)
    for file in files[number : number + _MAX_SIZES_COUNTED]:
        try:
            size = read_size(file.path)
        except PictureError:
            continue
        sizes[size] += 1
        examples.setdefault(size, file.shown)
    listed = ", ".join(
        f"{width}x{height} ({show_text(examples[height, width])})" for height, width in list(examples)[:_MOST_SIZES]
    )
    more = f" and {len(sizes) - _MOST_SIZES:,} more" if len(sizes) > _MOST_SIZES else ""
    return (
        f"{show_text(wanted.where)}: its images have different sizes (width x height): {listed}{more}. Set the size "
        f"to bring them to, such as image_size: {suggest_side(sizes, len(files))}."
    )


def _check_enough(rejected: Sequence[Rejected], num_files: int, wanted: Wanted) -> None:
    if len(rejected) * 2 > num_files or len(rejected) == num_files:
        raise UnreadableImagesError(
            f"{show_text(wanted.where)}: {len(rejected):,} of {num_files:,} images cannot be read: "
            f"{format_rejected(rejected)}."
        )


def _label(kept: Sequence[ImageFile], rejected: Sequence[Rejected], wanted: Wanted) -> npt.NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(wanted.class_names)}
    labels = np.array([numbers[file.class_name] for file in kept], dtype=np.int64)
    trained = {file.class_name for file in kept if file.part != "validation"}
    empty = [name for name in wanted.class_names if name not in trained]
    if empty and not wanted.is_test:
        raise UnreadableImagesError(
            f"{show_text(wanted.where)}: class '{empty[0]}' has no image that can be read: "
            f"{format_rejected(rejected)}. Replace its files, or leave the class out with classes."
        )
    return labels


def _name_lacking(labels: npt.NDArray[np.int64], wanted: Wanted) -> tuple[str, ...]:
    """Return a note on classes without test images; in training that is an error."""
    present = set(labels.tolist())
    lacking = [name for number, name in enumerate(wanted.class_names) if number not in present]
    return (f"the test split has no images of {format_paths(lacking)}",) if lacking else ()


def _make_notes(
    files: Sequence[ImageFile], rejected: Sequence[Rejected], store: PixelStore, wanted: Wanted
) -> tuple[str, ...]:
    notes, num_files = [], len(files) + len(rejected) - sum(bool(outcome.reason) for outcome in store.outcomes)
    if rejected:
        notes.append(f"{len(rejected):,} of {num_files:,} files left out: {format_rejected(rejected)}")
    found = list(zip(files, store.outcomes, strict=True))
    if with_frames := [file.shown for file, outcome in found if outcome.has_frames]:
        notes.append(
            f"{len(with_frames):,} files have several frames, of which only the first is used: "
            f"{format_paths(with_frames)}"
        )
    turned_grey = [file.shown for file, outcome in found if outcome.lost_colour]
    if turned_grey and wanted.is_test:
        names = format_paths(turned_grey)
        notes.append(f"{len(turned_grey):,} test images converted to grey, like the training images: {names}")
    others = {outcome.original_HW for _, outcome in found if not outcome.reason} - {store.size_HW}
    if store.size_HW is not None and others:
        height, width = store.size_HW
        sizes = f"{len(others):,} other size{'s' if len(others) > 1 else ''}"
        notes.append(
            f"resized to {width}x{height} (bilinear) from {sizes}{_describe_fit(others, store.size_HW, wanted.fit)}"
        )
    return tuple(notes)


def _describe_fit(sizes_HW: Iterable[tuple[int, int]], size_HW: tuple[int, int], fit: Fit) -> str:
    """Return what became of images of another aspect ratio; empty if there are none."""
    if all(height * size_HW[1] == width * size_HW[0] for height, width in sizes_HW):
        return ""
    return {"crop": ", the middle kept", "pad": ", padded with black", "stretch": ", the aspect ratio not kept"}[fit]
