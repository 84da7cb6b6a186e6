"""A planned trial and its identity: the hash of all that determines its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.execution.facts import Datasets
from bakeoff.networks.outside import TIMM, TORCHVISION, is_outside
from bakeoff.networks.user_code import hash_code
from bakeoff.study.plan import PlannedTrial, trial_content, trial_id
from bakeoff.training.recipe import Recipe
from bakeoff.training.revisions import list_revisions
from bakeoff.training.task import ENGINE_VERSION, Numeric


@dataclass(frozen=True, kw_only=True)
class Known:
    """A planned trial with its identity."""

    trial_id: str
    planned: PlannedTrial
    content: Mapping[str, Any]


def identify(planned: PlannedTrial, datasets: Datasets, numeric: Numeric, device: str = "cpu") -> Known:
    """Give a planned trial its id, from all that determines its result.

    `device` is the kind that computes it: random numbers and rounding are others on another, and the trials of one
    study are never mixed of two. A processor's trials have the ids they had when there was no other kind.
    """
    facts = datasets[planned.data.source]
    content = trial_content(
        planned,
        fingerprint=facts.fingerprint,
        own_validation=facts.name_split(planned),
        code=_hash_network(planned.recipe),
        numeric=numeric,
        engine_version=str(ENGINE_VERSION),
    )
    revisions = list_revisions(planned.recipe, facts.shape_HWC[2])
    if revisions:
        content["revisions"] = revisions
    if device != "cpu":
        content["device"] = device
    return Known(trial_id=trial_id(content), planned=planned, content=content)


def _hash_network(recipe: Recipe) -> str | None:
    """Return the hash of the code of a network of the user's own; None of any other network."""
    name = recipe.network.name
    return hash_code(name) if is_outside(name) and not name.startswith((TORCHVISION, TIMM)) else None
