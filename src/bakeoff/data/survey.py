"""Surveys an image folder, archive or manifest for a first study: counts, sizes, colours, groups in names, findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.data.audit.audits import Say
from bakeoff.data.audit.findings import count_findings
from bakeoff.data.audited import find_findings
from bakeoff.data.files import list_source, obtain_files
from bakeoff.data.grouping import group_listing
from bakeoff.data.listing import ImageFile, Listing
from bakeoff.data.peek import measure_sizes, peek
from bakeoff.data.sizes import SizeFacts
from bakeoff.data.source import PARENT, DataSource
from bakeoff.errors import DataError, UnreadableImagesError

MOST_AUDITED = 10_000
"""With more images, `bakeoff data check` audits them, not the survey."""

_NUMBERED = r"([^/]+?)[ _.-]*\d+\.[^./]+$"
"""Names such as patient7_003.jpg: what precedes the last number may be a group."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is known about the images.

    Attributes:
        class_counts: training images by class, own validation images included.
        num_train: all of them. `num_own_validation`: those that the source reserves for validation.
        has_test: whether the source has a test split of its own; else `num_test` are set aside.
        sizes: sizes of the training images.
        num_channels: 1 if the images that were opened are grey, else 3.
        group_rule: a value of `data.group` that the names suggest; empty if they suggest none, or groups are given.
        num_groups: groups by that rule, or those that are given; 0 if there are none.
        findings: number of the audit's findings by kind; None if there were too many images to audit.
        notes: what else users should know about the files.
    """

    class_counts: Mapping[str, int]
    num_train: int
    num_own_validation: int
    has_test: bool
    num_test: int
    sizes: SizeFacts
    num_channels: int
    group_rule: str
    num_groups: int
    findings: Mapping[str, int] | None
    notes: tuple[str, ...]


def survey(source: DataSource, say: Say | None = None) -> Survey:
    """Survey a folder, archive or manifest; its test images are compared by the audit, and not looked at otherwise.

    Args:
        source: without further settings.
        say: called with the progress of reading many images.

    Raises:
        DataError: not found, no classification task, or no image can be read.
    """
    obtain_files(source)
    listing = list_source(source)
    sizes = measure_sizes(source)
    if sizes is None:
        raise UnreadableImagesError(f"{source.label}: none of its images can be read.")
    sized = source.model_copy(update={"image_size": sizes.suggested_image_size})
    looked = peek(sized)
    files = listing.select("train", "validation")
    given = {file.group for file in files if file.group}
    rule, num_groups = ("", len(given)) if given else _suggest_groups(listing, files)
    is_small = len(listing.files) <= MOST_AUDITED
    return Survey(
        class_counts=dict(zip(looked.class_names, looked.class_counts, strict=True)),
        num_train=len(files),
        num_own_validation=looked.num_own_validation,
        has_test=listing.has_test,
        num_test=len(listing.select("test")),
        sizes=sizes,
        num_channels=looked.shape_HWC[2] if looked.shape_HWC else 3,
        group_rule=rule,
        num_groups=num_groups,
        findings=count_findings(find_findings(source, say=say).findings) if is_small else None,
        notes=listing.notes,
    )


def _suggest_groups(listing: Listing, files: Sequence[ImageFile]) -> tuple[str, int]:
    """Return a rule by which all images are in groups, several to most of them, and the number of groups."""
    for rule in (PARENT, _NUMBERED):
        try:
            grouped = group_listing(listing, rule).select("train", "validation")
        except DataError:
            continue
        if _is_grouping(grouped):
            return rule, len({file.group for file in grouped})
    return "", 0


def _is_grouping(files: Sequence[ImageFile]) -> bool:
    """Return whether groups are more than classes (whose names are often in those of files), and of several images."""
    num_groups = len({file.group for file in files})
    num_classes = len({file.class_name for file in files})
    return num_groups >= max(4, num_classes + 1) and len(files) >= 2 * num_groups
