"""Learning curves over the trials of each arm: their mean, and some of the trials themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.ledger.curves import EpochRow

MAX_TRIALS = 10
MAX_EPOCHS = 60
"""Trials kept of an arm, and epochs kept of a curve: more than a screen shows."""

Values = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class ArmCurve:
    """How one metric of one arm went on one split, epoch by epoch.

    Attributes:
        split: train (while the weights still move) or validation (after the epoch).
        epochs: 1-based, rising; at most MAX_EPOCHS, first and last among them.
        mean: over the trials that trained that far; None once fewer than half of the arm's trials do, as those left
            are no longer typical of it.
        num_training: trials that trained that far.
        trials: values of MAX_TRIALS trials at most; None where one had stopped or was not finite.
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
    """Average the epochs of a study's trials by block, arm, metric and split; what was not recorded is left out.

    Args:
        rows: the epochs of each trial rising.
        metrics: names of those that curves are wanted of.
    """
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
