"""The cost of a frozen body's features: computed once, divided equally among a study's trials that use them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.ledger.values import check_row


@dataclass(frozen=True)
class FeatureShare:
    """A trial's part of the cost of its frozen body's features, which were computed once.

    Attributes:
        key: equal for trials that use the same features.
        total: seconds taken to compute them.
        seconds: this trial's part: the total divided by the number of the study's trials that use them.
    """

    key: str
    total: float
    seconds: float


NO_SHARE = FeatureShare("", 0.0, 0.0)


def read_feature_shares(connection: sqlite3.Connection, study_id: str) -> Mapping[str, FeatureShare]:
    """Return the cost of features by trial of a study, including a search's candidates.

    So the costs of a study add up to the time that all its features took, whichever trial computed them.
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'features'").fetchone() is None:
        return {}  # an older ledger
    rows = connection.execute(
        "SELECT trial_id, key, seconds FROM features WHERE trial_id IN "
        "(SELECT trial_id FROM placements WHERE study_id = ?)",
        (study_id,),
    )
    found = [check_row(row, "ttn") for row in rows]
    users = Counter(key for _, key, _ in found)
    totals = {key: seconds for _, key, seconds in found}  # features computed by several machines count once
    return {trial_id: FeatureShare(key, totals[key], totals[key] / users[key]) for trial_id, key, _ in found}
