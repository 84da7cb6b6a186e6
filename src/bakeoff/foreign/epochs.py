"""Which epoch of a curve counts: the last, or the best by a metric. One place for all tools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bakeoff.data.source import show_text
from bakeoff.errors import ColumnError, DataOptionError, nearest
from bakeoff.foreign.reading import hide_password

Curve: TypeAlias = dict[float, float]
"""Scores of one metric by epoch or step, in the order of training."""


@dataclass(frozen=True)
class Epoch:
    """The epoch that counts.

    Attributes:
        rule: "last", "max" or "min".
        metric: the metric whose best epoch counts; empty for the last.
    """

    rule: str
    metric: str = ""

    @staticmethod
    def parse(text: str) -> Epoch:
        """Return what `last`, `max:METRIC` or `min:METRIC` says.

        Raises:
            DataError: it is none of the three.
        """
        rule, _, metric = text.partition(":")
        if text == "last" or (rule in ("max", "min") and metric.strip()):
            return Epoch(rule, metric.strip())
        raise DataOptionError(
            f"unknown epoch '{show_text(text)}'. Allowed: last, max:METRIC, min:METRIC, as in max:val_acc."
        )

    def check(self, source: str, metrics: Sequence[str]) -> None:
        """Check that the metric was logged.

        Raises:
            DataError: no run has it; lists those there are.
        """
        if self.metric and self.metric not in metrics:
            known = ", ".join(metrics[:20])
            raise ColumnError(
                f"{hide_password(source)}: no run has the metric '{show_text(self.metric)}' that chooses the epoch. "
                f"There are: {known}.{nearest(self.metric, metrics)}"
            )

    def read(self, curves: Mapping[str, Curve]) -> dict[str, float] | None:
        """Return a run's scores at this epoch; None if the metric that chooses it was never a finite number.

        A metric that was not logged at that very step counts as it was last logged before it. One that was logged once
        in the whole run, such as a final test, counts as it is.
        """
        if self.rule == "last":
            return {name: list(curve.values())[-1] for name, curve in curves.items()}
        finite = {step: value for step, value in curves.get(self.metric, {}).items() if math.isfinite(value)}
        if not finite:
            return None
        # max and min return the first of equals: an epoch that is no better does not count.
        best = (max if self.rule == "max" else min)(finite, key=finite.__getitem__)
        at_best = {name: _read_at(curve, best) for name, curve in curves.items()}
        return {name: value for name, value in at_best.items() if value is not None}

    def describe(self) -> str:
        """Return a note on which epoch the scores are of."""
        if self.rule == "last":
            return "scores are of the last epoch logged"
        best = "highest" if self.rule == "max" else "lowest"
        return (
            f"scores are of the epoch with the {best} {self.metric}; "
            f"{self.metric} itself is optimistic there, because it chose the epoch"
        )


def _read_at(curve: Curve, step: float) -> float | None:
    if len(curve) == 1:
        return next(iter(curve.values()))
    until = [value for at, value in curve.items() if at <= step]
    return until[-1] if until else None
