"""What a workspace keeps of the images it trained on: signatures and labels, by which they are known again."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.signatures import Signatures, load_signatures
from bakeoff.data.cache import Images

_ARRAYS = ("labels", "class_names", "groups", "own_validation")


@dataclass(frozen=True, kw_only=True)
class KnownImages:
    """The images of one split.

    Attributes:
        signatures: of every image, in order.
        images: labels, groups and the source's own validation images, for drawing splits; without pixels.
    """

    signatures: Signatures
    images: Images

    @classmethod
    def of(cls, images: Images, signatures: Signatures) -> KnownImages:
        """Return what is known of opened images, given their signatures."""
        bare = Images(
            pixels=_make_pixels(len(images.labels)),
            labels=images.labels,
            class_names=images.class_names,
            fingerprint=images.fingerprint,
            own_validation=images.own_validation,
            groups=images.groups,
        )
        return cls(signatures=signatures, images=bare)


def save_labels(path: Path, images: Images) -> None:
    """Write the labels, groups and own validation images of a split into one file (npz).

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, Any] = {"labels": images.labels, "class_names": np.array(images.class_names)}
    if images.groups is not None:
        arrays["groups"] = images.groups
    if images.own_validation is not None:
        arrays["own_validation"] = images.own_validation
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_known(signatures_path: Path, labels_path: Path, fingerprint: str) -> KnownImages | None:
    """Read the signatures of images and what `save_labels` wrote; None if one is missing, damaged or of old version."""
    signatures = load_signatures(signatures_path)
    try:
        with np.load(labels_path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in _ARRAYS if name in arrays}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    labels = found.get("labels")
    if signatures is None or labels is None or labels.dtype != np.int64 or labels.shape != (len(signatures),):
        return None
    images = Images(
        pixels=_make_pixels(len(labels)),
        labels=labels,
        class_names=tuple(map(str, found["class_names"])) if "class_names" in found else (),
        fingerprint=fingerprint,
        own_validation=found.get("own_validation"),
        groups=found.get("groups"),
    )
    return KnownImages(signatures=signatures, images=images)


def _make_pixels(num_images: int) -> npt.NDArray[np.uint8]:
    return np.broadcast_to(np.zeros(1, np.uint8), (num_images, 1, 1, 1))
