"""Selects the classes that a table shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

MOST_ROWS = 100
"""Maximum rows of a table of classes; `--format csv --table classes` has all."""

_Row = TypeVar("_Row")


def pick_worst(rows: Sequence[_Row], scores: Sequence[float | None]) -> list[_Row]:
    """Return all rows or, if there are more than MOST_ROWS, those with the lowest scores, lowest first."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    ranked = sorted((score, position) for position, score in enumerate(scores) if score is not None)
    return [rows[position] for _, position in ranked[:MOST_ROWS]]


def describe_rows(num_classes: int, num_shown: int) -> str:
    """Return which classes a table shows, such as "all 26 classes"."""
    if num_shown == num_classes:
        return f"all {num_classes} classes"
    return f"the {num_shown} hardest of {num_classes:,} classes, lowest F1 first; all: --format csv --table classes"
