"""Every arm's full recipe, as it was trained, including defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import BakeoffError
from bakeoff.study.plan import Plan

Position = tuple[str, str]
"""A block's label and an arm's label."""


def write_recipes(plan: Plan, trained: Mapping[Position, Mapping[str, Any]]) -> str:
    """Write as YAML what all arms have in common, then what differs.

    Args:
        plan: the study's plan; with a search, it has only the default arm.
        trained: recipes of trials by block and arm, without defaults; includes a search's finalists, which no plan has.
    """
    recipes = {(trial.block, trial.arm): trial.recipe for trial in plan.trials}
    for position, fields in trained.items():
        if position not in recipes and (recipe := _read(fields)) is not None:
            recipes[position] = recipe
    resolved = {position: recipe.model_dump(mode="json") for position, recipe in recipes.items()}
    if not resolved:
        return ""
    first, *others = resolved.values()
    common = {name: value for name, value in first.items() if all(each[name] == value for each in others)}
    own = {position: {k: v for k, v in fields.items() if k not in common} for position, fields in resolved.items()}
    document: dict[str, Any] = {"recipe": common}
    if any(own.values()):
        document["arms"] = _nest(plan, own)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _read(fields: Mapping[str, Any]) -> Recipe | None:
    """Return a recipe from the ledger; None if it is not valid any more, such as one with weights from a file."""
    try:
        return Recipe.model_validate(fields)
    except (BakeoffError, ValidationError):
        return None


def _nest(plan: Plan, own: Mapping[Position, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of each arm, by block if they differ between blocks."""
    arms: dict[str, Any] = {}
    for arm in dict.fromkeys(arm for _, arm in own):
        by_block = {block.label: own[block.label, arm] for block in plan.blocks if (block.label, arm) in own}
        variants = list(by_block.values())
        arms[arm] = variants[0] if all(each == variants[0] for each in variants) else by_block
    return arms
