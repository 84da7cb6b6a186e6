"""The record of one figure: plain data that a page or a notebook can draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FigureSpec"]


@dataclass(frozen=True)
class FigureSpec:
    """One figure: traces and layout in plotly's JSON format, and its texts.

    ``data`` and ``layout`` contain only values that ``json.dumps`` writes as they are; user text in them is escaped for
    plotly. ``title`` and ``alt`` are plain text, to be escaped by the writer. ``layout`` has neither title nor
    template, because a page has its own heading and colours.
    """

    title: str
    alt: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
