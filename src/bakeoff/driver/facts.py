"""Facts about images for plans and reports, without the pixels. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.data.files import list_whole
from bakeoff.data.group_draws import count_class_groups
from bakeoff.data.listing import format_paths
from bakeoff.data.source import DataSource
from bakeoff.data.splits import check_classes
from bakeoff.data.store import Images, describe, open_training
from bakeoff.errors import GroupsError, NoValidationImagesError
from bakeoff.study.plan import Block, PlannedTrial


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Facts about one source's training images.

    Attributes:
        shape_HWC: height, width and channels of every image.
        class_names: one per class, in label order.
        num_images: training images, including validation.
        fingerprint: hash of the decoded images; empty if they have not been opened.
        num_own_validation: images that the source reserves for validation; 0 if none.
        own_validation: hash of the indices of those images; empty if there are none.
        notes: what users should know about them, one sentence each.
        num_groups: groups that no split separates; 0 if every image stands alone.
        audit: a sentence on duplicates that must be known about any score; else empty.
    """

    shape_HWC: tuple[int, int, int]
    class_names: tuple[str, ...]
    num_images: int
    fingerprint: str = ""
    num_own_validation: int = 0
    own_validation: str = ""
    notes: tuple[str, ...] = ()
    num_groups: int = 0
    audit: str = ""

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    @classmethod
    def of_images(cls, images: Images) -> ImageFacts:
        """Return the facts about opened images."""
        own = images.own_validation
        return cls(
            shape_HWC=images.shape_HWC,
            class_names=tuple(images.class_names),
            num_images=len(images.labels),
            fingerprint=images.fingerprint,
            num_own_validation=0 if own is None else len(own),
            own_validation="" if own is None else hashlib.sha256(own.astype("<i8").tobytes()).hexdigest(),
            notes=tuple(images.notes),
            num_groups=images.num_groups,
        )

    @classmethod
    def of_source(cls, source: DataSource, data_dir: Path | None = None) -> ImageFacts | None:
        """Return the facts about a source without opening its images; None if they are unknown.

        Raises:
            DataError: it names classes that the dataset does not have.
        """
        known = describe(source, data_dir)
        if known is None:
            return None
        return cls(
            shape_HWC=known.shape_HWC,
            class_names=known.class_names,
            num_images=known.num_train,
            num_groups=known.num_groups,
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> ImageFacts:
        """Return the facts stored in `record`, the form used in the ledger."""
        height, width, channels = record["shape_HWC"]
        texts = {name: tuple(record[name]) for name in ("class_names", "notes")}
        known = {name: value for name, value in record.items() if name in {field.name for field in fields(cls)}}
        return cls(**{**known, **texts, "shape_HWC": (height, width, channels)})

    def record(self) -> dict[str, Any]:
        """Return the facts as plain values, for the ledger."""
        facts = asdict(self)
        if not self.audit:
            del facts["audit"]
        return facts

    def count_train(self, trial: PlannedTrial) -> int:
        """Return the number of training images per epoch of `trial`: all except held-out and validation images.

        With groups this is what splits aim at; each may differ by a part of a group.
        """
        if trial.data.validation == "own":
            return self.num_images - self.num_own_validation
        folds = trial.data.folds
        left = self.num_images if folds is None else self.num_images - round(self.num_images / folds)
        return left - round(left * trial.data.validation)

    def name_split(self, trial: PlannedTrial) -> str:
        """Return what a trial's id contains about its split besides the fraction: given validation images, if any."""
        return self.own_validation if trial.data.folds is None and trial.data.validation == "own" else ""


Datasets = Mapping[DataSource, ImageFacts]
"""Facts by source."""


def list_sources(blocks: Iterable[Block]) -> tuple[DataSource, ...]:
    """Return the distinct sources of all blocks."""
    return tuple(dict.fromkeys(block.data.source for block in blocks))


def open_datasets(blocks: Iterable[Block], data_dir: Path | None) -> dict[DataSource, ImageFacts]:
    """Open the training images of every block, decoding them if necessary, and return their facts.

    Raises:
        DataError: images are missing or damaged, a class is too small to be split, or a block requests own validation
            images and there are none.
    """
    listed = tuple(blocks)
    images = {source: open_training(source, data_dir) for source in list_sources(listed)}
    datasets = {source: ImageFacts.of_images(opened) for source, opened in images.items()}
    for block in listed:
        opened = images[block.data.source]
        _check_images(block, opened)
        own = datasets[block.data.source].num_own_validation
        if block.data.folds is None and block.data.validation == "own" and not own:
            if _lists_own_validation(block, data_dir):
                raise NoValidationImagesError(
                    f"{block.data.source.label}: none of its own validation images can be used: all are left out as "
                    f"duplicates of test images, or cannot be read. Set data.validation to a fraction, such as 0.1."
                )
            raise NoValidationImagesError(
                f"{block.data.source.label} has no validation images of its own (a folder val, valid or validation, or "
                f"a manifest's column split): set data.validation to a fraction, such as 0.1."
            )
    return datasets


def _lists_own_validation(block: Block, data_dir: Path | None) -> bool:
    source = block.data.source
    return source.registered is None and any(file.part == "validation" for file in list_whole(source, data_dir).files)


def _check_images(block: Block, images: Images) -> None:
    num_classes, groups, own = len(images.class_names), images.groups, images.own_validation
    counts = np.bincount(images.labels, minlength=num_classes).tolist()
    numbers = None if groups is None else count_class_groups(images.labels, groups, num_classes).tolist()
    check_split(block, counts, images.class_names, numbers)
    if groups is None or own is None or block.data.folds is not None or block.data.validation != "own":
        return
    trained = np.delete(groups, own)
    num_both = len(np.intersect1d(trained, groups[own]))
    if num_both:
        files = [] if images.files is None else [images.files[n] for n in own if groups[n] in trained]
        raise GroupsError(
            f"{block.data.source.label}: {num_both:,} group{'' if num_both == 1 else 's'} of images "
            f"{'is' if num_both == 1 else 'are'} both in its training and in its validation part: "
            f"{format_paths(files)}. Set data.validation to a fraction, such as 0.1, or move each group to one side."
        )


def check_split(
    block: Block, counts: Sequence[int], class_names: Sequence[str], group_counts: Sequence[int] | None = None
) -> None:
    """Check that a block's images can be split as requested, for any seed.

    Args:
        block: with the split.
        counts: training images of every class.
        class_names: of these classes.
        group_counts: groups of every class; None if every image stands alone.

    Raises:
        DataError: a class is too small.
    """
    if block.data.folds is None and block.data.validation == "own":
        return
    source = block.data.source
    advice = "take a larger subset, " if source.subset is not None else ""
    check_classes(counts, class_names, source.label, folds=block.data.folds, advice=advice)
    if group_counts is not None:
        check_classes(
            group_counts, class_names, source.label, folds=block.data.folds, advice=advice, of="groups of images"
        )


def describe_datasets(blocks: Iterable[Block], data_dir: Path | None) -> dict[DataSource, ImageFacts]:
    """Return the facts about those sources for which they are known without opening images."""
    found = {source: ImageFacts.of_source(source, data_dir) for source in list_sources(blocks)}
    return {source: facts for source, facts in found.items() if facts is not None}
