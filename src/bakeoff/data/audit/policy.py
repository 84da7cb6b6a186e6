"""What is done about duplicates: images that share a side of every split, or are left out, or neither."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.audits import Audit
from bakeoff.data.grouping import unite
from bakeoff.data.listing import Listing, Part, format_paths
from bakeoff.data.source import DuplicatesPolicy, show_text
from bakeoff.errors import DuplicateImagesError

_ORDER: Mapping[Part, int] = {"test": 0, "validation": 1, "train": 2}
"""Of an image in several splits, the one in the earlier split of these is kept."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a policy does to n images.

    Attributes:
        left_out: bool [n]: images that are not used.
        clusters: numbers of images that share a side of every split.
        notes: what was done, for users.
        headline: the same in one sentence if images are left out; else empty.
    """

    left_out: npt.NDArray[np.bool_]
    clusters: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()
    headline: str = ""


def apply_policy(listing: Listing, audit: Audit, policy: DuplicatesPolicy, classes: tuple[str, ...] | None) -> Listing:
    """Leave files out of a listing, or unite their groups, as the policy demands.

    Args:
        listing: all files, as audited.
        audit: of these files.
        policy: `group` or `drop`.
        classes: the classes that the study uses; None: all.

    Raises:
        DataError: as in `decide`.
    """
    decision = decide(audit, policy, classes)
    files = listing.files
    if policy == "group":
        files = unite(files, decision.clusters)
    kept = tuple(file for file, is_out in zip(files, decision.left_out, strict=True) if not is_out)
    return replace(listing, files=kept, notes=(*listing.notes, *decision.notes))


def decide(audit: Audit, policy: DuplicatesPolicy, classes: tuple[str, ...] | None = None) -> Decision:
    """Decide which images are left out, and which belong together.

    Raises:
        DataError: one image is in two classes, half or more of the training images are copies of test or validation
            images, or a class is left without training images.
    """
    is_chosen = np.array([classes is None or name in classes for name in audit.classes], dtype=np.bool_)
    refuse_contradictions(audit, is_chosen)
    links = _list_links(audit)
    is_copy = _find_copies(audit, links)
    refuse_copies(audit, is_copy & is_chosen, is_chosen)
    if policy == "group":
        return _describe(audit, is_copy, is_copy, _chain(audit, links, is_copy), is_chosen)
    left_out = is_copy.copy()
    for star in _make_stars(audit, links):
        left_out[list(star[1:])] = True
    _refuse_empty(audit, left_out, is_chosen)
    return _describe(audit, left_out, is_copy, (), is_chosen)


def refuse_contradictions(audit: Audit, is_chosen: npt.NDArray[np.bool_]) -> None:
    """Refuse images with equal pixels in different classes.

    Raises:
        DataError: names two of the images.
    """
    exact = audit.duplicates.exact
    found: list[tuple[int, int]] = []
    seen: dict[int, int] = {}
    for number in np.flatnonzero(is_chosen).tolist():
        first = seen.setdefault(int(exact[number]), number)
        if audit.classes[first] != audit.classes[number]:
            found.append((first, number))
    if found:
        one, other = found[0]
        more = f" and {len(found) - 1:,} more such images" if len(found) > 1 else ""
        raise DuplicateImagesError(
            f"{show_text(audit.where)}: {show_text(audit.names[one])} ('{audit.classes[one]}') and "
            f"{show_text(audit.names[other])} ('{audit.classes[other]}') are the same image in two classes{more}. "
            f"Correct the labels or remove these images; duplicates: allow uses them as they are."
        )


def refuse_copies(audit: Audit, is_copy: npt.NDArray[np.bool_], is_chosen: npt.NDArray[np.bool_]) -> None:
    """Refuse a source in which the training images are largely copies of its own test or validation images.

    Raises:
        DataError: names the split, or the class, that has too few other images.
    """
    is_training = np.array([part == "train" for part in audit.parts], dtype=np.bool_) & is_chosen
    num_copies, num_training = int((is_copy & is_training).sum()), int(is_training.sum())
    if num_copies and 2 * num_copies >= num_training:
        raise DuplicateImagesError(
            f"{show_text(audit.where)}: {num_copies:,} of {num_training:,} training images are copies of images in "
            f"{_name_culprit(audit)}. Remove the copies from one of the two; duplicates: allow uses them as they are."
        )
    _refuse_empty(audit, is_copy, is_chosen)


def _name_culprit(audit: Audit) -> str:
    others = [part for part in ("test", "validation") if part in audit.parts]
    if len(others) == 1 and os.path.isdir(audit.where):
        top = {part: name.split("/")[0] for part, name in zip(audit.parts, audit.names, strict=True)}
        root = show_text(audit.where)
        return f"{root}/{top[others[0]]}: {root}/{top[others[0]]} is a copy of {root}/{top['train']} or a part of it"
    return f"its {' and '.join(others)} split{'s' if len(others) > 1 else ''}"


def _refuse_empty(audit: Audit, left_out: npt.NDArray[np.bool_], is_chosen: npt.NDArray[np.bool_]) -> None:
    def count(numbers: npt.NDArray[np.int64]) -> Counter[str]:
        return Counter(audit.classes[n] for n in numbers.tolist() if audit.parts[n] != "test")

    before, after = count(np.flatnonzero(is_chosen)), count(np.flatnonzero(is_chosen & ~left_out))
    for name, number in before.items():
        if number >= 2 > after[name]:
            raise DuplicateImagesError(
                f"{show_text(audit.where)}: without duplicates, class '{name}' has {after[name]} of its {number:,} "
                f"training images. Remove the copies of its test images, add images, or leave it out with classes; "
                f"duplicates: allow uses it as it is."
            )


def _list_links(audit: Audit) -> dict[int, list[int]]:
    """Return, for every image, the images that are exact or near duplicates of it; each pair is verified."""
    exact, near = audit.duplicates.exact, audit.duplicates.near
    firsts, counts = np.unique(exact, return_counts=True)
    linked = np.flatnonzero(np.isin(exact, np.concatenate([firsts[counts > 1], near.reshape(-1)])))
    sets: dict[int, list[int]] = {}
    for number, first in zip(linked.tolist(), exact[linked].tolist(), strict=True):
        sets.setdefault(first, []).append(number)
    alike: dict[int, list[int]] = {first: [first] for first in sets}
    for one, other in near.tolist():
        alike[one].append(other)
        alike[other].append(one)
    return {
        number: [other for near in alike[first] for other in sets[near] if other != number]
        for first, members in sets.items()
        if len(members) > 1 or len(alike[first]) > 1
        for number in members
    }


def _find_copies(audit: Audit, links: Mapping[int, Sequence[int]]) -> npt.NDArray[np.bool_]:
    """Return which images are duplicates of an image in a split that has precedence."""
    is_copy = np.zeros(len(audit.names), dtype=np.bool_)
    for number, others in links.items():
        rank = _ORDER[audit.parts[number]]
        is_copy[number] = any(_ORDER[audit.parts[other]] < rank for other in others)
    return is_copy


def _make_stars(audit: Audit, links: Mapping[int, Sequence[int]]) -> list[tuple[int, ...]]:
    """Return disjoint sets of duplicates, the image to keep first: all others are verified duplicates of it.

    Not chained further: what is left out must be verified with an image that is kept.
    """
    taken: set[int] = set()
    stars = []
    for number in sorted(links, key=lambda each: (_ORDER[audit.parts[each]], each)):
        if number in taken:
            continue
        star = (number, *(other for other in links[number] if other not in taken))
        taken.update(star)
        if len(star) > 1:
            stars.append(star)
    return stars


def _chain(
    audit: Audit, links: Mapping[int, Sequence[int]], left_out: npt.NDArray[np.bool_]
) -> tuple[tuple[int, ...], ...]:
    """Return the connected components of duplicates among the images that are used.

    Chained, unlike what is left out: if the ends of a chain were on two sides of a split, so were one of its pairs. A
    source's own test split stays what it is, so chains end at it.
    """
    clusters = []
    met: set[int] = set()
    for first in sorted(links):
        if first in met or left_out[first]:
            continue
        met.add(first)
        cluster = [first]
        for number in cluster:  # grows
            side = audit.parts[number] == "test"
            new = {n for n in links[number] if not left_out[n] and (audit.parts[n] == "test") == side} - met
            met |= new
            cluster += sorted(new)
        if len(cluster) > 1:
            clusters.append(tuple(sorted(cluster)))
    return tuple(clusters)


def _describe(
    audit: Audit,
    left_out: npt.NDArray[np.bool_],
    is_copy: npt.NDArray[np.bool_],
    clusters: tuple[tuple[int, ...], ...],
    is_chosen: npt.NDArray[np.bool_],
) -> Decision:
    counted = Counter(audit.parts[n] for n in np.flatnonzero(left_out & is_chosen).tolist())
    notes = []
    parts: list[Part] = ["train", "validation", "test"]
    for part in parts:
        if counted[part]:
            out = np.flatnonzero(left_out & is_chosen & np.array([each == part for each in audit.parts]))
            copies = int(is_copy[out].sum())
            why = "duplicates" if copies < len(out) else "duplicates of test images"
            if copies == len(out) and "validation" in audit.parts and part == "train":
                why = "duplicates of test or validation images"
            named = format_paths([audit.names[n] for n in out])
            notes.append(f"{len(out):,} {_ADJECTIVES[part]} images left out as {why}: {named}")
    headline = "; ".join(note.partition(":")[0] for note in notes)
    united = [cluster for cluster in clusters if all(is_chosen[list(cluster)])]
    if united:
        num_images = sum(map(len, united))
        notes.append(
            f"{num_images:,} images in {len(united):,} sets of duplicates; each set stays on one side of every split"
        )
    return Decision(left_out=left_out, clusters=clusters, notes=tuple(notes), headline=headline)


_ADJECTIVES: Mapping[Part, str] = {"train": "training", "validation": "validation", "test": "test"}
