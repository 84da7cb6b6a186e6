"""Decodes located files to validated arrays, for every layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bakeoff.data import cifar
from bakeoff.data.idx import read_idx, read_zipped_idx
from bakeoff.data.locate import Located
from bakeoff.data.registry import CifarLayout, DatasetRecord, EmbeddedLayout, EmnistLayout, IdxLayout, Split
from bakeoff.errors import DamagedDatasetError
from bakeoff.registry import bind


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One split, decoded.

    Attributes:
        pixels: uint8 [n, H, W, C]; in memory, or a memory map of the file it was decoded to.
        labels: int64 [n].
        class_names: one name per label.
        own_validation: int64, sorted; indices of the images that the source reserves for validation; None: none.
        notes: what users should know about these images.
        groups: int64 [n], the number of every image's group; None if every image stands alone.
        files: the shown path of every image; None for a registered dataset.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    own_validation: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    groups: npt.NDArray[np.int64] | None = None
    files: tuple[str, ...] | None = None


def decode_split(record: DatasetRecord, split: Split, located: Located) -> Decoded:
    """Read and check one split. Reads the files in `located` and no other.

    Raises:
        DataError: a file is unreadable, truncated, or does not match the record.
    """
    class_names = record.class_names
    match record.layout:
        case EmbeddedLayout() as layout:
            pixels, labels = bind(layout.read)(split)
        case IdxLayout():
            pixels, labels = _decode_idx(record, split, located)
        case EmnistLayout() as layout:
            pixels, labels = _decode_emnist(record, layout, split, located)
        case CifarLayout() as layout:
            pixels, labels, class_names = _decode_cifar(record, layout, split, located)
    _check_shape(record, split, pixels, labels)
    _check_labels(labels, record.num_classes, located, record.name)
    return Decoded(pixels=pixels, labels=labels, class_names=class_names)


def _decode_idx(
    record: DatasetRecord, split: Split, located: Located
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    num_images = record.num_images(split)
    height, width, _ = record.image_shape_HWC
    images, labels = located.files
    pixels = read_idx(images, (num_images, height, width))
    return pixels[..., np.newaxis], read_idx(labels, (num_images,)).astype(np.int64)


def _decode_emnist(
    record: DatasetRecord, layout: EmnistLayout, split: Split, located: Located
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split; EMNIST stores its images transposed, and letters are labelled from 1."""
    num_images = record.num_images(split)
    height, width, _ = record.image_shape_HWC
    shapes: tuple[tuple[int, ...], ...] = ((num_images, width, height), (num_images,))
    if len(located.files) == 1:
        members = [f"{layout.inner_folder}/{name}.gz" for name in layout.name_files(split)]
        images, labels = (
            read_zipped_idx(located.files[0], member, shape) for member, shape in zip(members, shapes, strict=True)
        )
    else:
        images, labels = (read_idx(path, shape) for path, shape in zip(located.files, shapes, strict=True))
    pixels = np.ascontiguousarray(images.transpose(0, 2, 1))[..., np.newaxis]
    return pixels, labels.astype(np.int64) - layout.first_label


def _decode_cifar(
    record: DatasetRecord, layout: CifarLayout, split: Split, located: Located
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...]]:
    names = layout.train if split == "train" else layout.test
    num_bytes = record.num_images(split) // len(names) * (layout.num_label_bytes + cifar.NUM_PIXELS)
    if located.files[0].name == layout.archive:
        contents, text, where = _read_cifar_archive(layout, names, num_bytes, located)
    else:
        contents = cifar.read_folder(located.files, num_bytes)
        where = str(located.names_file)
        text = None if located.names_file is None else cifar.read_text(located.names_file)
    class_names = record.class_names if text is None else cifar.parse_class_names(text, where, record.num_classes)
    return *cifar.decode_records(contents, layout.num_label_bytes), class_names


def _read_cifar_archive(
    layout: CifarLayout, names: tuple[str, ...], num_bytes: int, located: Located
) -> tuple[list[bytes], bytes | None, str]:
    archive = located.files[0]
    members = [f"{layout.folder}/{name}" for name in names]
    text_member = f"{layout.folder}/{layout.names_file}" if layout.names_file else None
    found = cifar.read_archive(archive, members, num_bytes, [text_member] if text_member else [])
    text = found.get(text_member) if text_member else None
    return [found[member] for member in members], text, f"{archive}: member {text_member}"


def _check_shape(
    record: DatasetRecord, split: Split, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> None:
    num_images = record.num_images(split)
    if pixels.shape != (num_images, *record.image_shape_HWC) or labels.shape != (num_images,):
        raise DamagedDatasetError(
            f"{record.name}: the {split} split has {len(pixels):,} images of shape {pixels.shape[1:]} and "
            f"{len(labels):,} labels; {num_images:,} images of shape {record.image_shape_HWC} are expected."
        )


def _check_labels(labels: npt.NDArray[np.int64], num_classes: int, located: Located, name: str) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        where = located.files[-1] if located.files else name
        raise DamagedDatasetError(
            f"{where}: image {wrong[0]} has label {labels[wrong[0]]}, but {name} has the classes 0 to "
            f"{num_classes - 1}. Replace it with the publisher's file."
        )
