"""Every arm's recipe in full, as it was trained: what the study leaves at its default stands there too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import BakeoffError
from bakeoff.study.plan import Plan

Position = tuple[str, str]
"""A block's label and an arm's."""


def write_recipes(plan: Plan, trained: Mapping[Position, Mapping[str, Any]]) -> str:
    """Write as YAML what all arms have in common, then what sets each apart.

    Args:
        plan: the study's; of a search it holds the default arm only.
        trained: recipes of trials by block and arm, without what is at its default: what a search found is in no plan.
    """
    recipes = {(trial.block, trial.arm): trial.recipe for trial in plan.trials}
    for place, fields in trained.items():
        if place not in recipes and (recipe := _read(fields)) is not None:
            recipes[place] = recipe
    resolved = {place: recipe.model_dump(mode="json") for place, recipe in recipes.items()}
    if not resolved:
        return ""
    common = _share(list(resolved.values()))
    own = {place: {k: v for k, v in fields.items() if k not in common} for place, fields in resolved.items()}
    document: dict[str, Any] = {"recipe": common}
    if any(own.values()):
        document["arms"] = _nest(plan, own)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _read(fields: Mapping[str, Any]) -> Recipe | None:
    """Return a recipe that the ledger holds; None where it no longer is one, such as one with weights from a file."""
    try:
        return Recipe.model_validate(fields)
    except (BakeoffError, ValidationError):
        return None


def _share(recipes: list[dict[str, Any]]) -> dict[str, Any]:
    first, *others = recipes
    return {name: value for name, value in first.items() if all(each[name] == value for each in others)}


def _nest(plan: Plan, own: Mapping[Position, dict[str, Any]]) -> dict[str, Any]:
    """Return arms with their fields; block by block where an arm's recipe differs between blocks."""
    arms: dict[str, Any] = {}
    for arm in dict.fromkeys(arm for _, arm in own):
        by_block = {block.label: own[block.label, arm] for block in plan.blocks if (block.label, arm) in own}
        variants = list(by_block.values())
        arms[arm] = variants[0] if all(each == variants[0] for each in variants) else by_block
    return arms
