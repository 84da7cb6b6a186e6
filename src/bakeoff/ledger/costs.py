"""Reads the costs of trials: parameters, time, throughput."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from bakeoff.ledger.features import NO_SHARE, FeatureShare, read_feature_shares
from bakeoff.ledger.read import final_only


@dataclass(frozen=True)
class CostRow:
    """What one trial of a study cost.

    Attributes:
        num_parameters: trained parameters; None if not recorded.
        num_epochs: trained epochs. `seconds`: its part of its cohort's time, including evaluation, without features.
        features: its part of the cost of its frozen body's features.
        seconds_per_image: training time per image and member of its cohort, mean over its epochs; None if unknown.
    """

    trial_id: str
    block: str
    arm: str
    num_parameters: int | None
    num_epochs: int
    seconds: float
    seconds_per_image: float | None
    features: FeatureShare = NO_SHARE


def read_study_costs(connection: sqlite3.Connection, study_id: str) -> Iterator[CostRow]:
    """Yield the costs of every finished trial of a study, except a search's candidates."""
    shares = read_feature_shares(connection, study_id)
    rows = connection.execute(
        "SELECT p.trial_id, block, arm, num_parameters, num_epochs, t.seconds, AVG(1.0 / images_per_second) "
        "FROM placements p JOIN trials t ON t.id = p.trial_id LEFT JOIN epochs e "
        "ON e.trial_id = p.trial_id AND images_per_second > 0 WHERE study_id = ? AND t.state = 'done'"
        f"{final_only(connection)} GROUP BY position ORDER BY position",
        (study_id,),
    )
    for trial_id, block, arm, num_parameters, num_epochs, seconds, per_image in rows:
        yield CostRow(
            trial_id, block, arm, num_parameters, num_epochs, seconds or 0.0, per_image, shares.get(trial_id, NO_SHARE)
        )
