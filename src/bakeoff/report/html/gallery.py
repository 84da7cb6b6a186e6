"""Pictures on the page: data, spelled out by the template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture.

    Attributes:
        source: a data URI; the page reaches nothing else.
        alt: what it shows, in words.
        width, height: in pixels of the page.
        notes: short lines under it.
    """

    source: str
    alt: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PictureGroup:
    """Pictures of one class that were taken for another; `note` says how often that happened."""

    true: str
    predicted: str
    note: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Groups of pictures."""

    kind: ClassVar[str] = "gallery"
    groups: tuple[PictureGroup, ...]
