"""The interface for showing a run's progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from bakeoff.search.strategy import Ending
from bakeoff.study.plan import PlannedTrial


class Observer(Protocol):
    """Receives a run's progress."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """A cohort has started training."""

    def epoch_done(
        self,
        label: str,
        *,
        epoch: int,
        num_epochs: int,
        num_members: int,
        num_model_images: int,
        replayed: bool = False,
    ) -> None:
        """A member of a cohort has finished an epoch; `replayed`: in an earlier run, read from its checkpoint."""

    def trial_seen(
        self, trial: PlannedTrial, *, state: Ending | Literal["training"], epoch: int, validation: Mapping[str, float]
    ) -> None:
        """A trial has made progress, or was found in the ledger. Epoch 0 if unknown.

        The validation metrics are those of the epoch during training, and of the stored weights at the end.
        """

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """A trial has ended."""

    def cohort_done(self, label: str) -> None:
        """A cohort has ended."""

    def message(self, text: str) -> None:
        """A message for the user."""
