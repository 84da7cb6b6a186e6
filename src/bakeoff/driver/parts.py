"""Splits a cohort: into single members, to find a failing one, or into two halves, for lack of memory.

The parts and their ids do not depend on which members have ended, so a later run finds the checkpoints of an earlier
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bakeoff.driver.cohorts import name_cohort
from bakeoff.messages import CohortTask

SeedOf = Callable[[str], int]
"""Returns the seed of a trial's replicate, given its id."""


def split_members(task: CohortTask) -> Iterator[CohortTask]:
    """Yield a task for every member, resuming from the cohort's checkpoint."""
    for member in task.members:
        yield replace(
            task,
            cohort_id=name_part(task.cohort_id, member.trial_id),
            members=(member,),
            resume_from=(task.cohort_id, *task.resume_from),
        )


def halve(task: CohortTask, seed_of: SeedOf) -> Iterator[CohortTask]:
    """Yield a task for each half with members left, resuming from the cohort's checkpoint."""
    ids = [*(member.trial_id for member in task.members), *task.finished]
    for number, half in enumerate(halve_trials(ids, seed_of)):
        members = tuple(member for member in task.members if member.trial_id in half)
        if members:
            yield replace(
                task,
                cohort_id=name_half(task.cohort_id, number),
                members=members,
                finished=task.finished & frozenset(half),
                resume_from=(task.cohort_id, *task.resume_from),
            )


def halve_trials(ids: Sequence[str], seed_of: SeedOf) -> tuple[list[str], list[str]]:
    """Halve a cohort's trials, with those of one replicate adjacent."""
    ordered = sorted(ids, key=lambda each_id: (seed_of(each_id), each_id))
    middle = len(ordered) // 2
    return ordered[:middle], ordered[middle:]


def name_part(cohort_id: str, trial_id: str) -> str:
    """Return the id of the cohort of one member of a split cohort."""
    return name_cohort([cohort_id, trial_id])


def name_half(cohort_id: str, number: int) -> str:
    """Return the id of a half, 0 or 1, of a cohort."""
    return name_cohort([cohort_id, f"half {number}"])
