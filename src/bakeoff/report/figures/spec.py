"""What a figure of the report is: plain data that a page or a notebook can draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FigureSpec"]


@dataclass(frozen=True)
class FigureSpec:
    """One figure: its traces and layout as plotly's JSON has them, and its words.

    ``data`` and ``layout`` hold nothing but dicts, lists, strings, finite numbers, booleans
    and None, so that ``json.dumps`` writes them as they are. User text in them is escaped as plotly
    reads it; in ``title`` and ``alt`` it is plain text, to be escaped by whoever writes it.
    ``layout`` has neither a title nor a template: the page has its own heading and ground.
    """

    title: str
    alt: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
