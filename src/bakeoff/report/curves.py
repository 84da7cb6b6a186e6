"""Learning curves of each arm: the mean over trials, and some single trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.ledger.curves import EpochRow

MAX_TRIALS = 10
MAX_EPOCHS = 60
"""Limits on the trials kept per arm and the epochs kept per curve: more than a screen shows."""

Values = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class ArmCurve:
    """One metric of one arm on one split, epoch by epoch.

    Attributes:
        split: train (measured during the epoch) or validation (after the epoch).
        epochs: 1-based, ascending; at most MAX_EPOCHS, including the first and last.
        mean: over the trials that reached the epoch; None if those are fewer than half and thus not typical.
        num_training: number of trials that reached the epoch.
        trials: values of at most MAX_TRIALS trials; None after a trial has stopped, and for values that are not finite.
    """

    block: str
    arm: str
    metric: str
    split: str
    epochs: tuple[int, ...]
    mean: Values
    num_training: tuple[int, ...]
    trials: tuple[Values, ...]


def describe_curves(rows: Iterable[EpochRow], metrics: Sequence[str]) -> tuple[ArmCurve, ...]:
    """Average the epochs of a study's trials by block, arm, metric and split. Each trial's epochs must be ascending."""
    gathered: dict[tuple[str, str, str, str], dict[int, dict[int, float]]] = {}
    for row in rows:
        for split, values in (("train", row.train), ("validation", row.validation)):
            for metric in metrics:
                if metric in values:
                    curve = gathered.setdefault((row.block, row.arm, metric, split), {})
                    curve.setdefault(row.position, {})[row.epoch] = values[metric]
    return tuple(_average(*key, list(trials.values())) for key, trials in gathered.items())


def _average(block: str, arm: str, metric: str, split: str, trials: Sequence[dict[int, float]]) -> ArmCurve:
    last = max(max(trial) for trial in trials)
    kept = sorted({round(epoch) for epoch in np.linspace(1, last, min(last, MAX_EPOCHS))})
    columns = [[trial[epoch] for trial in trials if epoch in trial] for epoch in kept]
    return ArmCurve(
        block=block,
        arm=arm,
        metric=metric,
        split=split,
        epochs=tuple(kept),
        mean=tuple(_mean(column) if 2 * len(column) >= len(trials) else None for column in columns),
        num_training=tuple(map(len, columns)),
        trials=tuple(tuple(_finite(trial.get(epoch)) for epoch in kept) for trial in trials[:MAX_TRIALS]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return _finite(float(np.mean(values))) if values else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
