"""What features of frozen bodies cost: computed once, borne in equal shares by all trials of a study that use them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.ledger.values import check_row


@dataclass(frozen=True)
class FeatureShare:
    """What a trial owes for the features of its frozen body, which were computed once.

    Attributes:
        key: equal for trials that use the same features.
        total: what computing them took, seconds.
        seconds: this trial's share of it: an equal one for every trial of the study that uses them.
    """

    key: str
    total: float
    seconds: float


NO_SHARE = FeatureShare("", 0.0, 0.0)


def read_feature_shares(connection: sqlite3.Connection, study_id: str) -> Mapping[str, FeatureShare]:
    """Return what the trials of a study owe for features, by trial; a search's candidates bear their shares too.

    So the shares of a study add up to the time that all its features took, whoever came first and found none kept.
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
    totals = {key: seconds for _, key, seconds in found}  # where several machines computed the same, it counts once
    return {trial_id: FeatureShare(key, totals[key], totals[key] / users[key]) for trial_id, key, _ in found}
