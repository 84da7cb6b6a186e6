"""A planned trial and its id: the hash of everything that determines its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.networks.user_code import CodeHashes
from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.packages import list_packages
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.revisions import list_revisions
from bakeoff.driver.facts import Datasets
from bakeoff.messages import ENGINE_VERSION
from bakeoff.stats.metrics import is_on_demand
from bakeoff.study.plan import PlannedTrial, trial_content, trial_id

Position: TypeAlias = tuple[str, str, str, int, int | None]
"""Block, arm, stage, replicate and fold: no two trials of a study share all of them."""


def position_of(planned: PlannedTrial) -> Position:
    """Return a trial's position in its study."""
    return (planned.block, planned.arm, planned.stage, planned.replicate, planned.fold)


@dataclass(frozen=True, kw_only=True)
class IdentifiedTrial:
    """A planned trial with its id."""

    trial_id: str
    planned: PlannedTrial
    content: Mapping[str, Any]

    @property
    def code(self) -> str | None:
        """Return the hash of the code of the user's own network; None for any other network."""
        return self.content.get("code")


def identify(
    planned: PlannedTrial,
    datasets: Datasets,
    numeric: Numeric,
    device: str = "cpu",
    codes: CodeHashes | None = None,
) -> IdentifiedTrial:
    """Compute a planned trial's id from everything that determines its result.

    `device` is the kind of device: random numbers and rounding depend on it, and the trials of one study never mix two
    kinds. Ids for the CPU are the same as before other kinds existed. `codes` are the hashes of user code in a run; by
    default they are computed now.
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
    on_demand = sorted(filter(is_on_demand, planned.metrics))
    if on_demand and planned.stage == "search":  # candidates are judged while they train; finals can be scored later
        content["metrics"] = on_demand
    if device != "cpu":
        content["device"] = device
    return IdentifiedTrial(trial_id=trial_id(content), planned=planned, content=content)


def _hash_network(recipe: Recipe, codes: CodeHashes) -> str | None:
    return codes[recipe.network.name] if names_class(recipe.network.name) else None
