"""What a tidy table is: named columns, each of one kind, and rows of plain values. Knows neither CSV nor pandas."""

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
    """One column: its name, which says its unit, and what its values are; `time` is an ISO time as text."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Frame:
    """One table.

    Attributes:
        columns: in order.
        rows: as many values as columns each, None where there is nothing. May be a generator: read it once.
    """

    columns: tuple[FrameColumn, ...]
    rows: Iterable[tuple[Value, ...]]

    def records(self) -> Iterator[dict[str, Value]]:
        """Yield every row as a dictionary, column -> value."""
        names = [column.name for column in self.columns]
        for row in self.rows:
            yield dict(zip(names, row, strict=True))


def unit_of(metric: str) -> str:
    """Return the unit of a metric as the end of a column's name: "share" (0..1) or "nats"; "" for an unknown metric."""
    record = next((record for record in METRICS if record.name == metric), None)
    if record is None:
        return ""
    return "share" if record.is_share else "nats"


def name_metric(split: str, metric: str, statistic: str = "") -> str:
    """Return a metric's column name, such as "test_accuracy_share" or "test_loss_nats_sd"."""
    return "_".join(filter(None, (split.replace("-", "_"), metric, unit_of(metric), statistic)))


def list_metrics(found: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """Return every (split, metric) that occurs in some split -> metric -> value, in a fixed order."""
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
