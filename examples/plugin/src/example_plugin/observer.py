"""An observer: writes down how trials ended, and what the run says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.driver.observer import ObserverRecord


class Diary:
    """Appends to diary.txt in the current folder."""

    def start(self, **facts: Any) -> None:
        """The run starts."""
        self._write("start")

    def search_seen(self, searches: Any) -> None:
        """A search has made progress."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """A cohort has started training."""

    def epoch_done(self, label: str, **facts: Any) -> None:
        """A trial has finished an epoch."""

    def trial_seen(self, trial: Any, *, state: str, epoch: int, validation: Mapping[str, float]) -> None:
        """A trial has made progress, or was found in the ledger."""
        self._write(f"{trial.arm} {state}")

    def trial_done(self, **facts: Any) -> None:
        """A trial has ended."""

    def cohort_done(self, label: str) -> None:
        """A cohort has ended."""

    def message(self, text: str) -> None:
        """A message for the user."""
        self._write(text)

    def _write(self, text: str) -> None:
        with Path("diary.txt").open("a", encoding="utf-8") as file:
            print(text, file=file)


DIARY = ObserverRecord("diary", "writes diary.txt in the current folder", Diary)
