"""Groups of images that must not be on two sides of a split: of one patient, object, video or burst."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

from bakeoff.data.listing import PARTS, ImageFile, Listing, clean_class_name, format_paths
from bakeoff.data.source import PARENT, show_text
from bakeoff.errors import GroupsError


def group_listing(listing: Listing, rule: str) -> Listing:
    """Name the groups of a folder's images by its rule: see `DataSource.group`.

    Raises:
        DataError: the rule matches no part of some path, or names no folder; names these files.
    """
    names = [_apply_rule(file, rule) for file in listing.files]
    without = [file.shown for file, name in zip(listing.files, names, strict=True) if not name]
    if without:
        reason = "are directly in a class folder" if rule == PARENT else f"are not matched by group: {show_text(rule)}"
        raise GroupsError(
            f"{show_text(listing.root)}: {len(without):,} of {len(listing.files):,} images {reason}, so they have no "
            f"group: {format_paths(without)}."
        )
    files = (replace(file, group=name) for file, name in zip(listing.files, names, strict=True))
    return replace(listing, files=tuple(files))


def _apply_rule(file: ImageFile, rule: str) -> str:
    """Return the group of a file; empty if the rule names none."""
    shown = file.shown.replace(os.sep, "/")
    if rule == PARENT:
        folders = shown.split("/")[:-1]
        has_part = folders[0].lower() in PARTS  # class folders never have such a name
        return clean_class_name("/".join(folders[2 if has_part else 1 :]))
    found = re.search(rule, shown)
    if found is None:
        return ""
    return clean_class_name(found.group(1) or "" if found.re.groups else found.group())


def check_groups(listing: Listing, *, may_span: bool = False) -> None:
    """Check that groups can be kept on one side of every split.

    Args:
        listing: with the groups that every later step keeps together.
        may_span: allow groups on both sides of the source's own test split.

    Raises:
        DataError: a group is in the training and in the test split of the source itself; or, where a test split must be
            drawn, all images are one group, or a class has a single group.
    """
    where, training = show_text(listing.root), listing.select("train", "validation")
    if not any(file.group for file in listing.files):
        return
    spanning = sorted({file.group for file in training if file.group} & {file.group for file in listing.select("test")})
    if spanning and not may_span:
        one = len(spanning) == 1
        raise GroupsError(
            f"{where}: {len(spanning):,} group{'' if one else 's'} of images {'is' if one else 'are'} both in its "
            f"training and in its test split: {format_paths(spanning)}. Move each to one side, or remove the split, "
            f"so that one is drawn."
        )
    if listing.has_test:
        return  # whether validation can be drawn is checked where it is asked for
    numbers = {name: len(groups) for name, groups in _collect_groups(training).items()}
    if len({file.group for file in training}) == 1 and training[0].group:
        raise GroupsError(
            f"{where}: all {len(training):,} training images are in one group, {show_text(training[0].group)}; no "
            f"split separates a group, so two or more are needed."
        )
    for name in (name for name, number in numbers.items() if number == 1):
        raise GroupsError(
            f"{where}: class '{name}' has only one group of images; one must train and one must test or validate. Add "
            f"images, or leave the class out with classes."
        )


def _collect_groups(files: Sequence[ImageFile]) -> dict[str, set[str]]:
    """Return the groups of every class; an image that stands alone is named by its path."""
    found: dict[str, set[str]] = {}
    for file in files:
        found.setdefault(file.class_name, set()).add(f"group {file.group}" if file.group else f"file {file.shown}")
    return found


def describe_groups(listing: Listing, rule: str | None, *, is_declared: bool = True) -> tuple[str, ...]:
    """Return a note on the groups of the training images: how many, by what, and whether they cover several classes.

    Args:
        listing: the images that are used.
        rule: the source's `group`.
        is_declared: whether the source names groups; if not, they are its sets of duplicates.
    """
    training = listing.select("train", "validation")
    groups: dict[str, set[str]] = {}
    for file in training:
        if file.group:
            groups.setdefault(file.group, set()).add(file.class_name)
    if not groups:
        return ()
    num_groups = len(groups) + sum(not file.group for file in training)
    mixed = sum(len(classes) > 1 for classes in groups.values())
    covering = f"; {mixed:,} of them cover{'s' if mixed == 1 else ''} several classes" if mixed else ""
    by = "column group" if rule is None else f"group: {show_text(rule)}"
    by = by if is_declared else "sets of duplicates"
    return (f"{len(training):,} training images in {num_groups:,} groups ({by}){covering}",)


def unite(files: Sequence[ImageFile], clusters: Sequence[Sequence[int]]) -> tuple[ImageFile, ...]:
    """Unite declared groups with clusters of files that must be on one side too, such as near-duplicates.

    Args:
        files: all of them, with their declared groups.
        clusters: numbers of files that belong together; a file may be in several.

    Returns:
        The files, in order. The group of each names its connected component: the least of the declared groups in it,
        else its least path. A file that stands alone keeps the group it has.
    """
    parents = list(range(len(files)))

    def find(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    first_of_group: dict[str, int] = {}
    declared = [(first_of_group.setdefault(file.group, i), i) for i, file in enumerate(files) if file.group]
    for one, other in (*declared, *((cluster[0], each) for cluster in clusters for each in cluster)):
        parents[find(other)] = find(one)
    components: dict[int, list[int]] = {}
    for number in range(len(files)):
        components.setdefault(find(number), []).append(number)
    united = list(files)
    for members in components.values():
        if len(members) > 1:
            name = _name_component([files[number] for number in members], first_of_group)
            for number in members:
                united[number] = replace(files[number], group=name)
    return tuple(united)


def _name_component(files: Sequence[ImageFile], declared: dict[str, int]) -> str:
    names = [file.group for file in files if file.group]
    if names:
        return min(names)
    name = min(file.shown for file in files)
    while name in declared:
        name += "'"
    return name
