"""Turns a search's candidate into a recipe: the block's recipe with the candidate's changes, validated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import CONFLICT, BakeoffError
from bakeoff.study.explain import explain, join_path
from bakeoff.study.merge import Draft, Source
from bakeoff.study.plan import recipe_content
from bakeoff.study.space import arrange


class UnfitCandidateError(BakeoffError, code=CONFLICT):
    """A candidate that is not a valid recipe, or does not fit the images."""


def make_recipe(default: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Make a candidate's recipe. Unlike an arm, a candidate may change what its block sets.

    Args:
        default: the block's recipe.
        changes: dotted field of the recipe -> value, as in an arm of a study file.

    Raises:
        UnfitCandidateError: a field does not exist, or the choices are not valid together.
    """
    draft = Draft({"recipe": default.model_dump(mode="json")})
    for path, value in arrange(changes).items():
        draft.write(("recipe", *path.split(".")), value, Source(("search", path), ("search", path)))
    if draft.faults:
        raise UnfitCandidateError("; ".join(message for _, message in draft.faults))
    try:
        return Recipe.model_validate(draft.tree["recipe"]).normalize_for_weights()
    except ValidationError as error:
        found = explain(error, Recipe, draft.tree["recipe"])
        raise UnfitCandidateError(
            "; ".join(": ".join(filter(None, (join_path(path), message))) for path, message, _ in found)
        ) from None


def name_recipe(recipe: Recipe) -> str:
    """Return a canonical text, equal for equal recipes."""
    return json.dumps(recipe_content(recipe), sort_keys=True)
