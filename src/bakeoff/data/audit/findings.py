"""What an audit found, as typed records and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from bakeoff.data.audit.audits import Audit
from bakeoff.data.audit.near import CHANGES
from bakeoff.data.listing import Part

Kind: TypeAlias = Literal[
    "same file", "equal", "near", "two labels", "near, two labels", "rare class", "missing class", "constant", "tiny"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

MEANINGS: Mapping[Kind, str] = {
    "same file": "one file by several paths: links, or a path written in two ways",
    "equal": "images with equal pixels",
    "near": "near duplicates: an image and a slightly changed copy",
    "two labels": "equal images in different classes",
    "near, two labels": "near duplicates in different classes",
    "rare class": "classes with few images",
    "missing class": "classes without images in a split",
    "constant": "images of a single colour",
    "tiny": "images smaller than 8 pixels",
}
DUPLICATES: tuple[Kind, ...] = ("same file", "equal", "near", "two labels", "near, two labels")

LEAST_IN_CLASS = 10
LEAST_IN_SPLIT = 5
LEAST_SIDE = 8
MOST_STORED = 20_000
_MOST_NAMES = 50


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        kind: what it is; see MEANINGS.
        images: names of the images, at most fifty.
        numbers: their numbers in the audit.
        num_images: how many images it is about.
        parts: splits they are in.
        classes: their classes.
        detail: how near duplicates differ, or a count.
    """

    kind: Kind
    images: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    num_images: int
    parts: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    detail: str = ""

    @property
    def is_across(self) -> bool:
        """Whether duplicates are in several splits."""
        return self.kind in DUPLICATES and len(self.parts) > 1

    def dump(self) -> dict[str, Any]:
        """Return it as plain values, without the numbers."""
        return {name: value for name, value in asdict(self).items() if name != "numbers"}


def list_findings(audit: Audit) -> tuple[Finding, ...]:
    """Return all findings about a source: duplicates across splits first, then by kind."""
    sets = _collect_sets(audit)
    found = [
        *(_describe_equal(audit, members) for members in sets.values() if len(members) > 1),
        *_list_near(audit, sets),
        *_list_classes(audit),
        *_list_single(audit, "constant", np.flatnonzero(audit.is_constant).tolist()),
        *_list_single(audit, "tiny", _find_tiny(audit)),
    ]
    return tuple(sorted(found, key=lambda each: (not each.is_across, KINDS.index(each.kind))))


def count_findings(findings: Sequence[Finding]) -> dict[str, int]:
    """Return the number of findings of every kind that occurs, and of duplicates across splits."""
    counts = Counter(each.kind for each in findings)
    across = sum(each.is_across for each in findings)
    return {**{kind: counts[kind] for kind in KINDS if counts[kind]}, **({"across splits": across} if across else {})}


def describe_findings(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return one sentence for every kind that occurs, with an example."""
    sentences = []
    for kind in KINDS:
        members = [each for each in findings if each.kind == kind]
        if not members:
            continue
        across = sum(each.is_across for each in members)
        parted = f", {across:,} of them across splits" if across else ""
        first = members[0]
        example = " and ".join(first.images[:2]) or ", ".join(first.classes)
        what = "sets" if kind in ("same file", "equal", "two labels") else "pairs" if kind in DUPLICATES else "found"
        detail = f"; {first.detail}" if first.detail and kind not in ("constant", "tiny") else ""
        sentences.append(f"{MEANINGS[kind]}: {len(members):,} {what}{parted} (such as {example}{detail})")
    return tuple(sentences)


def _collect_sets(audit: Audit) -> dict[int, list[int]]:
    """Return the images with the same pixels, by the first of them."""
    sets: dict[int, list[int]] = {}
    for number, first in enumerate(audit.duplicates.exact.tolist()):
        sets.setdefault(first, []).append(number)
    return sets


def _describe_equal(audit: Audit, members: Sequence[int]) -> Finding:
    is_one_file = audit.identities is not None and len({audit.identities[number] for number in members}) == 1
    if len({audit.classes[number] for number in members}) > 1:
        return _make(audit, "two labels", members)
    return _make(audit, "same file" if is_one_file else "equal", members)


def _list_near(audit: Audit, sets: Mapping[int, Sequence[int]]) -> Iterator[Finding]:
    for (one, other), change in zip(audit.duplicates.near.tolist(), audit.duplicates.changes.tolist(), strict=True):
        members = [*sets[one], *sets[other]]
        # The two images of the pair first.
        members.sort(key=lambda number, pair=(one, other): number not in pair)  # type: ignore[misc]
        kind: Kind = "near" if audit.classes[one] == audit.classes[other] else "near, two labels"
        yield _make(audit, kind, members, CHANGES[change])


def _make(audit: Audit, kind: Kind, members: Sequence[int], detail: str = "") -> Finding:
    return Finding(
        kind=kind,
        images=tuple(audit.names[number] for number in members[:_MOST_NAMES]),
        numbers=tuple(members[:_MOST_NAMES]),
        num_images=len(members),
        parts=tuple(sorted({audit.parts[number] for number in members})),
        classes=tuple(sorted({audit.classes[number] for number in members})),
        detail=detail,
    )


def _list_classes(audit: Audit) -> Iterator[Finding]:
    counts = Counter(zip(audit.classes, audit.parts, strict=True))
    parts: list[Part] = [part for part in ("train", "validation", "test") if part in audit.parts]
    for name in sorted(set(audit.classes)):
        total = sum(counts[name, part] for part in parts)
        few = {part: counts[name, part] for part in parts if 0 < counts[name, part] < LEAST_IN_SPLIT}
        if total < LEAST_IN_CLASS or few:
            detail = f"{total:,} in all" if total < LEAST_IN_CLASS else ""
            detail = ", ".join(filter(None, (detail, *(f"{count:,} in {part}" for part, count in few.items()))))
            yield Finding(kind="rare class", num_images=total, parts=tuple(few), classes=(name,), detail=detail)
        missing = tuple(part for part in parts if not counts[name, part])
        if missing:
            detail = f"none in {' and '.join(missing)}"
            yield Finding(kind="missing class", num_images=total, parts=missing, classes=(name,), detail=detail)


def _list_single(audit: Audit, kind: Kind, numbers: Sequence[int]) -> Iterator[Finding]:
    for number in map(int, numbers):
        height, width, _ = audit.sizes[number].tolist()
        yield _make(audit, kind, [number], f"{width}x{height}")


def _find_tiny(audit: Audit) -> Sequence[int]:
    """Return the images with a side below LEAST_SIDE, unless that is how all of them are."""
    sides = audit.sizes[:, :2].min(axis=1)
    is_tiny = (sides > 0) & (sides < LEAST_SIDE)
    return [] if is_tiny.all() else np.flatnonzero(is_tiny).tolist()
