"""What a trained network is judged by: the metrics' names, and which way each should go. No torch."""

from __future__ import annotations

from typing import Literal, TypeAlias

Metric: TypeAlias = Literal["accuracy", "loss", "macro_f1", "macro_precision", "macro_recall"]
"""What a trained network is judged by. Loss should fall, the others rise."""


def improvement(metric: Metric, value: float, best: float) -> float:
    """Return by how much `value` is better than `best`, in the metric's unit; negative where it is worse."""
    return best - value if metric == "loss" else value - best
