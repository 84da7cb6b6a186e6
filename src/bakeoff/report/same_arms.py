"""Finds arms of a finished study that are the same training, by their recipes or by their trials."""

from __future__ import annotations

from bakeoff.data.source import DataSource
from bakeoff.driver.facts import ImageFacts
from bakeoff.errors import BakeoffError
from bakeoff.ledger.read import StudyRecord
from bakeoff.study.plan import Plan
from bakeoff.study.sameness import SameArms, find_same_arms


def gather_same_arms(plan: Plan, record: StudyRecord) -> tuple[SameArms, ...]:
    """Return the arms that get no verdict against each other, by block.

    Arms with the same recipe, a search's winner that is the default, and two copies of one file of weights are found
    because they share every trial in the ledger.
    """
    found = _find_by_recipe(plan, record)
    trials: dict[tuple[str, str], list[str]] = {}
    for result in record.results:
        trials.setdefault((result.block, result.arm), []).append(result.trial_id)
    sharing: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (block, arm), ids in trials.items():
        sharing.setdefault((block, tuple(sorted(ids))), []).append(arm)
    return (
        *found,
        *(
            SameArms(block=block, arms=tuple(arms), fields=())
            for (block, _), arms in sharing.items()
            if len(arms) > 1 and not any(each.block == block and set(arms) <= set(each.arms) for each in found)
        ),
    )


def _find_by_recipe(plan: Plan, record: StudyRecord) -> tuple[SameArms, ...]:
    """Find same arms by their recipes, resolved on the images in the ledger; empty if these are not known."""
    try:
        facts: dict[DataSource, ImageFacts] = {
            block.data.source: ImageFacts.of_record(record.facts[block.label])
            for block in plan.blocks
            if block.label in record.facts
        }
        return find_same_arms(plan, facts)
    except (BakeoffError, KeyError, TypeError, ValueError):
        return ()
