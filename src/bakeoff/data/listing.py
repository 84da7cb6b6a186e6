"""The files of an image folder or manifest, listed without opening any of them."""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.data.content import Stamp
from bakeoff.data.group_draws import draw_groups, number_groups
from bakeoff.data.source import show_text
from bakeoff.errors import ClassesError, FolderLayoutError, TooFewImagesError, UnreadableImagesError, nearest

Part: TypeAlias = Literal["train", "validation", "test"]

PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of the parts in folders and manifests, in lower case."""

MAX_SHOWN = 10
"""How many paths a note names before "and N more"."""

TEST_SEED = 1_000_101
SUBSET_SEED = 1_000_102
"""The same in every study, so that studies share the test split and subsets are repeatable."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image as listed.

    Attributes:
        path: where to open it.
        shown: its path relative to the folder or as in the manifest, for messages and sorting.
        class_name: its class.
        part: its split.
        stamp: size, times and inode, which reveal a change of its content.
        group: what it shares with other images (a patient, an object, a video), all of which are on one side of every
            split; empty: it stands alone.
    """

    path: str
    shown: str
    class_name: str
    part: Part
    stamp: Stamp
    group: str = ""

    @property
    def num_bytes(self) -> int:
        """Return its size."""
        return self.stamp.num_bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A skipped file: its path as shown to users, and the reason."""

    shown: str
    reason: str
    part: Part = "train"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All files of a folder or manifest.

    Attributes:
        root: the folder, or the manifest.
        files: sorted by part, class and path.
        class_names: those of the training part, sorted.
        has_test: whether the source has its own test split.
        rejected: files known to be missing before any is opened.
        notes: what else users should know.
    """

    root: str
    files: tuple[ImageFile, ...]
    class_names: tuple[str, ...]
    has_test: bool
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()

    def select(self, *parts: Part) -> tuple[ImageFile, ...]:
        """Return the files of some parts, in order."""
        return tuple(file for file in self.files if file.part in parts)


def clean_class_name(text: str) -> str:
    """Return a class name in normal form: Unicode NFC, stripped, control characters escaped."""
    return show_text(unicodedata.normalize("NFC", text).strip())


def make_listing(
    root: str,
    files: Sequence[ImageFile],
    rejected: Sequence[Rejected],
    notes: Sequence[str],
    *,
    chosen: tuple[str, ...] | None,
) -> Listing:
    """Sort and check what was found.

    Args:
        root: the folder or manifest, for messages.
        files: all images, in any order.
        rejected: files that are listed but cannot be opened.
        notes: what else users should know.
        chosen: the classes the study uses; names that differ only in case are allowed if it names both.

    Raises:
        DataError: no images, fewer than two classes, two classes with the same name, or one without training images.
    """
    where = show_text(root)
    if not any(file.part == "train" for file in files):
        if rejected:
            raise UnreadableImagesError(
                f"{where}: none of its {len(rejected):,} files can be opened: {format_rejected(rejected)}."
            )
        raise FolderLayoutError(f"{where} has no training images.")
    class_names = tuple(sorted({file.class_name for file in files if file.part == "train"}))
    _check_classes(where, class_names, files, chosen)
    order: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}
    ordered = sorted(files, key=lambda file: (order[file.part], file.class_name, file.shown))
    return Listing(
        root=root,
        files=tuple(ordered),
        class_names=class_names,
        has_test=any(file.part == "test" for file in files),
        rejected=tuple(rejected),
        notes=tuple(notes),
    )


def _check_classes(
    where: str, class_names: tuple[str, ...], files: Sequence[ImageFile], chosen: tuple[str, ...] | None
) -> None:
    if len(class_names) < 2:
        raise ClassesError(f"{where} has only one class, '{class_names[0]}'; two or more are needed.")
    known = set(class_names)
    for file in files:
        if file.class_name not in known:
            raise ClassesError(
                f"{where}: the {file.part} part has the class '{file.class_name}' ({show_text(file.shown)}), which has "
                f"no training images.{nearest(file.class_name, class_names)}"
            )
    by_folded: dict[str, str] = {}
    for name in class_names:
        other = by_folded.setdefault(name.casefold(), name)
        if other != name and not (chosen and name in chosen and other in chosen):
            raise ClassesError(
                f"{where}: the classes '{other}' and '{name}' differ only in upper and lower case. Merge them, or, "
                f"if both are meant, name them in classes."
            )


def format_rejected(rejected: Sequence[Rejected]) -> str:
    """Name the first ten with their reasons and count the rest."""
    named = [f"{show_text(item.shown)} ({show_text(item.reason)})" for item in rejected[:MAX_SHOWN]]
    more = len(rejected) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def format_paths(paths: Sequence[str]) -> str:
    """Name the first ten and count the rest."""
    named = [show_text(path) for path in paths[:MAX_SHOWN]]
    more = len(paths) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def set_test_aside(listing: Listing, share: float) -> Listing:
    """Draw a test split if the source has none: by class and path alone, before any other choice applies.

    The draw within a class depends only on the paths of that class, so selecting classes moves no image from the test
    split into training. Groups stay together; with groups that cover several classes it depends on all of these.

    Raises:
        DataError: a class has a single image, or a single group.
    """
    if listing.has_test:
        return listing
    training = listing.select("train")
    for name, count in Counter(file.class_name for file in training).items():
        if count < 2:
            raise TooFewImagesError(
                f"{show_text(listing.root)}: class '{name}' has only one image; one must train and one must test. "
                f"Add images, or leave the class out with classes."
            )
    is_test = _draw_files(training, share, TEST_SEED, keep_one=True)
    drawn = iter(is_test)
    files = [replace(file, part="test") if file.part == "train" and next(drawn) else file for file in listing.files]
    files.sort(key=lambda file: file.part == "test")
    return replace(listing, files=tuple(files))


def _draw_files(
    files: Sequence[ImageFile], share: float, seed: int, *, keep_one: bool = False
) -> npt.NDArray[np.bool_]:
    names = [file.class_name for file in files]
    return draw_share(names, share, seed, keep_one=keep_one, groups=number_groups([file.group for file in files]))


def draw_share(
    class_names: Sequence[str],
    share: float,
    seed: int,
    *,
    keep_one: bool = False,
    groups: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.bool_]:
    """Draw a fraction of every class: rounded, at least one image. A larger fraction contains the smaller one.

    With groups, whole groups are drawn, and the fraction is met as nearly as they allow; see `draw_groups`.

    Args:
        class_names: the class of every image.
        share: the fraction, between 0 and 1.
        seed: the same seed draws the same images.
        keep_one: leave at least one image, or group, of every class undrawn.
        groups: the number of every image's group, [n], whose images stay together; None: every image stands alone.

    Returns:
        Whether each image is drawn, shape [n].

    Raises:
        DataError: a class has too few groups.
    """
    drawn = np.zeros(len(class_names), dtype=np.bool_)
    members: dict[str, list[int]] = {}
    for number, name in enumerate(class_names):
        members.setdefault(name, []).append(number)
    walks, counts = list[npt.NDArray[np.int64]](), list[int]()
    for name, numbers in members.items():
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        walks.append(generator.permutation(numbers))
        counts.append(min(max(1, round(len(numbers) * share)), len(numbers) - (1 if keep_one else 0)))
    if groups is None:
        for walk, count in zip(walks, counts, strict=True):
            drawn[walk[:count]] = True
        return drawn
    order = {name: label for label, name in enumerate(members)}
    labels = np.array([order[name] for name in class_names], dtype=np.int64)
    return draw_groups(labels, groups, walks, counts, list(members), keep_one=keep_one)


def take_classes(listing: Listing, chosen: tuple[str, ...] | None) -> Listing:
    """Select classes, in the given order; None: all.

    Raises:
        DataError: a class is unknown; names the closest.
    """
    if chosen is None:
        return listing
    check_chosen(show_text(listing.root), chosen, listing.class_names)
    wanted = set(chosen)
    files = tuple(file for file in listing.files if file.class_name in wanted)
    return replace(listing, files=files, class_names=chosen)


def check_chosen(where: str, chosen: Sequence[str], class_names: Sequence[str]) -> None:
    """Check that every chosen class exists.

    Raises:
        DataError: names the first that does not, the closest name, and up to fifty that exist.
    """
    for name in chosen:
        if name not in class_names:
            known = ", ".join(class_names[:50]) + (", ..." if len(class_names) > 50 else "")
            raise ClassesError(
                f"{where} has no class '{show_text(name)}'.{nearest(name, class_names)} Its classes: {known}."
            )


def take_subset(listing: Listing, share: float | None) -> Listing:
    """Select a stratified fraction of the training images, including own validation images; None: all."""
    if share is None:
        return listing
    kept: list[ImageFile] = []
    parts: tuple[Part, ...] = ("train", "validation")
    for part in parts:
        files = listing.select(part)
        drawn = _draw_files(files, share, SUBSET_SEED)
        kept += [file for file, is_drawn in zip(files, drawn, strict=True) if is_drawn]
    return replace(listing, files=(*kept, *listing.select("test")))
