"""Who sees a run as it goes, to show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from bakeoff.search.strategy import Ending
from bakeoff.study.plan import PlannedTrial


class Observer(Protocol):
    """Sees a run as it goes, to show it."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """A cohort is being trained."""

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
        """A member of a cohort has finished an epoch; `replayed`: in an earlier run, and it is read back now."""

    def trial_seen(
        self, trial: PlannedTrial, *, state: Ending | Literal["training"], epoch: int, validation: Mapping[str, float]
    ) -> None:
        """A trial stands where it did not stand before; one from the ledger, too. Epoch 0 where it is not known.

        The metrics on its validation split are those of the epoch while it trains, of the kept weights once it is done.
        """

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """A trial has come to its end."""

    def cohort_done(self, label: str) -> None:
        """A cohort has come to its end."""

    def message(self, text: str) -> None:
        """Something people should know."""
