"""Classes as tables: all of a few, of thousands those that are recognised worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.tables import Column

MOST_ROWS = 100
"""Rows of a table of classes; `--format csv --table classes` has all."""

_Row = TypeVar("_Row")


def pick_worst(rows: Sequence[_Row], scores: Sequence[float | None]) -> list[_Row]:
    """Return all rows, or where there are more than MOST_ROWS those of the lowest scores, lowest first."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    met = sorted((score, place) for place, score in enumerate(scores) if score is not None)
    return [rows[place] for _, place in met[:MOST_ROWS]]


def describe_rows(num_classes: int, num_shown: int) -> str:
    """Say which classes a table shows, such as "all 26 classes"."""
    if num_shown == num_classes:
        return f"all {num_classes} classes"
    return f"the {num_shown} hardest of {num_classes:,} classes, lowest F1 first; all: --format csv --table classes"


def tabulate_evidence(evidence: BlockEvidence) -> list[Column]:
    """Tabulate how the best arm of a block recognises each class: a row per class, or per one of the hardest."""
    rows = pick_worst(evidence.classes, [row.f1 for row in evidence.classes])
    return [
        Column(key="class", header=("class",), cells=tuple(row.name for row in rows), is_number=False),
        Column(key="images", header=("images",), cells=tuple(f"{row.occurring:,}" for row in rows)),
        *(
            Column(key=name, header=(title,), cells=tuple(_share(getattr(row, name)) for row in rows))
            for name, title in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"), ("auc", "AUC"))
        ),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
