"""Finds arms that lack trials when training has ended: while there are any, the test split stays closed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from bakeoff.data.source import show_text
from bakeoff.driver.identity import IdentifiedTrial
from bakeoff.ledger.store import Ledger

MAX_NAMED = 3
REMEDY = (
    "Run the same command again to retry them, or open it without them with --allow-missing "
    "(in Python allow_missing=True)."
)


def describe_missing(finals: Sequence[IdentifiedTrial], ledger: Ledger) -> str:
    """Return in one line which arms lack trials, and why the test split stays closed; empty if none does.

    A diverged trial is a result. A failed one is not: opening the test split without its arm, and again after the arm
    has been trained, would be two looks instead of one.

    Args:
        finals: the compared trials.
        ledger: the record of their results.
    """
    states = ledger.trial_states(each.trial_id for each in finals)
    places = {(each.planned.block, each.planned.arm, each.trial_id) for each in finals}
    planned = Counter((block, arm) for block, arm, _ in places)
    lacking: dict[tuple[str, str], list[str]] = defaultdict(list)
    for block, arm, trial_id in sorted(places):
        if states.get(trial_id) in (None, "failed"):
            lacking[block, arm].append(trial_id)
    if not lacking:
        return ""
    several = len({block for block, _ in planned}) > 1
    named = [
        f"arm '{show_text(arm)}'{f' in block {show_text(block)!r}' if several else ''} lacks {len(ids)} of "
        f"{planned[block, arm]} trials ({_find_reason(ids, ledger)})"
        for (block, arm), ids in list(lacking.items())[:MAX_NAMED]
    ]
    more = f" and {len(lacking) - MAX_NAMED} more" if len(lacking) > MAX_NAMED else ""
    return f"the test split stays closed: {'; '.join(named)}{more}. {REMEDY}"


def _find_reason(trial_ids: Sequence[str], ledger: Ledger) -> str:
    reasons = (ledger.reason_of(trial_id) for trial_id in trial_ids)
    return next((show_text(reason).rstrip(".") for reason in reasons if reason), "not trained")
