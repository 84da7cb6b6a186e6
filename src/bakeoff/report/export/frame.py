"""Tidy tables: named columns, each of one kind, and rows of plain values. Independent of CSV and pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.stats.measure import SPLITS
from bakeoff.stats.metrics import METRICS

Kind = Literal["text", "integer", "number", "time"]
Value = str | int | float | None


@dataclass(frozen=True)
class FrameColumn:
    """One column; its name includes the unit. `time` is an ISO time as text."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Frame:
    """One table.

    Attributes:
        rows: one value per column, None if missing. May be a generator that can be read only once.
    """

    columns: tuple[FrameColumn, ...]
    rows: Iterable[tuple[Value, ...]]

    def records(self) -> Iterator[dict[str, Value]]:
        """Yield each row as a dictionary, column -> value."""
        names = [column.name for column in self.columns]
        for row in self.rows:
            yield dict(zip(names, row, strict=True))


def unit_of(metric: str) -> str:
    """Return the unit of a metric for a column name: "share" (0..1) or "nats"; empty if it has none or is unknown."""
    record = METRICS.get(metric)
    if record is None:
        return ""
    return "share" if record.is_share else record.unit


def name_metric(split: str, metric: str, statistic: str = "") -> str:
    """Return a metric's column name, such as "test_accuracy_share" or "test_loss_nats_sd"."""
    record = METRICS.get(metric)
    column = metric if record is None else record.column
    return "_".join(filter(None, (split.replace("-", "_"), column, unit_of(metric), statistic)))


def list_metrics(found: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """Return every (split, metric) that occurs, in a fixed order, from split -> metric -> value."""
    pairs = {(split, metric) for splits in found for split, values in splits.items() for metric in values}
    known = [record.name for record in METRICS]
    splits: Sequence[str] = SPLITS
    return sorted(
        pairs,
        key=lambda pair: (
            splits.index(pair[0]) if pair[0] in splits else len(splits),
            known.index(pair[1]) if pair[1] in known else len(known),
            pair,
        ),
    )
