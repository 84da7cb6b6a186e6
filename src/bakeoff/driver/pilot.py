"""A pilot: the first replicates of all arms, scored on validation images only, to choose the number of replicates.

No look is spent and no bias comes in: test images are not seen, and the trials stay in the study whatever they show.
"""

from __future__ import annotations

from dataclasses import replace

from bakeoff.driver.prospects import MIN_PILOT, find_obstacle
from bakeoff.errors import OptionError
from bakeoff.study.plan import Plan
from bakeoff.study.settings import Race


def check_pilot(plan: Plan, num_replicates: int) -> None:
    """Check that a study can begin with a pilot.

    Raises:
        BakeoffError: a search, a race, folds, a single arm, or no more replicates than the pilot has.
    """
    study, asked = plan.study, f"--pilot {num_replicates}"
    if num_replicates < MIN_PILOT:
        raise OptionError(f"{asked}: a pilot needs at least {MIN_PILOT} replicates, to see how scores vary.")
    if study.search is not None:
        raise OptionError(f"{asked}: the arms of a search are known only when it has ended. Run it without --pilot.")
    if isinstance(study.replicates, Race):
        raise OptionError(f"{asked}: a race looks at its replicates itself as they come. Run it without --pilot.")
    reason = find_obstacle(plan)
    if reason:
        raise OptionError(f"{asked}: {reason}. Run it without --pilot.")
    if study.replicates <= num_replicates:
        raise OptionError(
            f"{asked}: the study has {study.replicates} replicates, and a pilot is the first of them: give a smaller "
            "number, or run it without --pilot."
        )


def take_pilot(plan: Plan, num_replicates: int | None) -> Plan:
    """Return the plan with the trials of the first replicates only; with all of them for None."""
    if num_replicates is None:
        return plan
    return replace(plan, trials=tuple(trial for trial in plan.trials if trial.replicate < num_replicates))
