"""An observer: writes down how trials ended, and what the run says."""

from pathlib import Path
from typing import Any

from bakeoff.driver.observer import BaseObserver, ObserverRecord
from bakeoff.study.plan import PlannedTrial


class Diary(BaseObserver):
    """Appends to diary.txt in the current folder."""

    def start(self, **facts: Any) -> None:
        """The run starts."""
        self._write("start")

    def trial_seen(self, trial: PlannedTrial, **facts: Any) -> None:
        """A trial has made progress, or was found in the ledger."""
        self._write(f"{trial.arm} {facts['state']}")

    def message(self, text: str) -> None:
        """A message for the user."""
        self._write(text)

    def _write(self, text: str) -> None:
        with Path("diary.txt").open("a", encoding="utf-8") as file:
            print(text, file=file)


DIARY = ObserverRecord("diary", "writes diary.txt in the current folder", Diary)
