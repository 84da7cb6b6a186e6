"""A schedule: the learning rate falls along a straight line."""

from typing import Literal

from bakeoff.catalog.schedules import Progress, ScheduleRecord, ScheduleSettings


class Linear(ScheduleSettings):
    """The settings of `linear` in a study file."""

    name: Literal["linear"] = "linear"

    def share(self, progress: Progress, num_epochs: int) -> float:
        """Return the factor of the learning rate, 0 to 1."""
        return max(0.0, 1 - progress.epochs / num_epochs)


LINEAR = ScheduleRecord("linear", "the rate falls along a straight line", "this package", Linear)
