"""Early stopping: ends a trial that no longer improves on the validation split. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.catalog.metric import improvement
from bakeoff.catalog.recipe import EarlyStopping


@dataclass
class Stopper:
    """Monitors one trial's validation metric, like Keras' EarlyStopping.

    Attributes:
        rule: the metric to monitor and the patience; None: never stop early, keep the last weights.
        best_epoch: the epoch whose weights to keep, counted from 1; 0 before the first.
        best: the monitored metric at `best_epoch`.
        waited: epochs since the last improvement.
    """

    rule: EarlyStopping | None
    best_epoch: int = 0
    best: float = float("nan")
    waited: int = 0

    def observe(self, epoch: int, validation: Mapping[str, float]) -> bool:
        """Receive the metrics after `epoch`; return whether these are the best weights so far."""
        if self.rule is None:
            self.best_epoch = epoch
            return True
        value = validation[self.rule.monitor]
        if self.best_epoch == 0 or improvement(self.rule.monitor, value, self.best) > self.rule.min_delta:
            self.best_epoch, self.best, self.waited = epoch, value, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether the patience is exhausted."""
        return self.rule is not None and self.waited >= self.rule.patience
