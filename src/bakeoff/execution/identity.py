"""A planned trial and its identity: the hash of all that determines its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.execution.facts import Datasets
from bakeoff.networks.outside import names_class
from bakeoff.networks.user_code import CodeHashes
from bakeoff.study.plan import PlannedTrial, trial_content, trial_id
from bakeoff.training.packages import list_packages
from bakeoff.training.recipe import Recipe
from bakeoff.training.revisions import list_revisions
from bakeoff.training.task import ENGINE_VERSION, Numeric


@dataclass(frozen=True, kw_only=True)
class Known:
    """A planned trial with its identity."""

    trial_id: str
    planned: PlannedTrial
    content: Mapping[str, Any]

    @property
    def code(self) -> str | None:
        """Return the hash of the code of a network of the user's own; None of any other network."""
        return self.content.get("code")


def identify(
    planned: PlannedTrial,
    datasets: Datasets,
    numeric: Numeric,
    device: str = "cpu",
    codes: CodeHashes | None = None,
) -> Known:
    """Give a planned trial its id, from all that determines its result.

    `device` is the kind that computes it: random numbers and rounding are others on another, and the trials of one
    study are never mixed of two. A CPU's trials have the ids they had when there was no other kind. `codes` are the
    hashes of users' code that a run goes by; by default they are taken now.
    """
    facts = datasets[planned.data.source]
    content = trial_content(
        planned,
        fingerprint=facts.fingerprint,
        own_validation=facts.name_split(planned),
        code=_hash_network(planned.recipe, CodeHashes() if codes is None else codes),
        numeric=numeric,
        engine_version=str(ENGINE_VERSION),
    )
    revisions = list_revisions(planned.recipe, facts.shape_HWC[2])
    if revisions:
        content["revisions"] = revisions
    packages = list_packages(planned.recipe, planned.metrics)
    if packages:
        content["packages"] = packages
    if device != "cpu":
        content["device"] = device
    return Known(trial_id=trial_id(content), planned=planned, content=content)


def _hash_network(recipe: Recipe, codes: CodeHashes) -> str | None:
    return codes[recipe.network.name] if names_class(recipe.network.name) else None
