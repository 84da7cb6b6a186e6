"""`recipe: {from: {study: tune, winner: true}}`: a study that begins with what an earlier one's search has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import Field, JsonValue, ValidationError

from bakeoff.catalog.choices import Record
from bakeoff.study.axes import Fault
from bakeoff.study.explain import explain, shorten

FROM = "from"
PLACE = ("recipe", FROM)

EVERY_BLOCK = ""
"""The label under which a winner is found that all blocks begin with."""

Recipes: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Block's label -> a recipe, plain."""

FindWinners: TypeAlias = Callable[[str, str | None], Recipes]
"""(study's name, block's label or None for all) -> the winner's recipe by block; one alone stands for every block."""


class FromWinner(Record):
    """An earlier study's winner, which a recipe starts from; its other fields, blocks and arms change it as usual."""

    study: str = Field(min_length=1, max_length=100, description="Name of an earlier study with a search.")
    winner: Literal[True] = Field(description="true: start from the best recipe that its search found.")
    block: str | None = Field(
        default=None, description="Block whose winner to use; null: the same block, or the only one."
    )
    found: dict[str, dict[str, JsonValue]] | None = Field(
        default=None, description="The winners' recipes by block; set when the study is run."
    )

    def choose(self, block: str) -> Mapping[str, Any]:
        """Return the recipe that a block begins with.

        Raises:
            KeyError: none was found for it.
        """
        assert self.found is not None
        return self.found[EVERY_BLOCK if EVERY_BLOCK in self.found else block]


def read_from(recipe: Mapping[str, Any]) -> tuple[FromWinner | None, list[Fault]]:
    """Read what a study's recipe begins with, and what is wrong with it; None where it begins with nothing."""
    if FROM not in recipe:
        return None, []
    given = recipe[FROM]
    if not isinstance(given, Mapping):
        return None, [(PLACE, f"given {shorten(given)}, allowed {{study: NAME, winner: true}}")]
    try:
        return FromWinner.model_validate(given), []
    except ValidationError as error:
        return None, [((*PLACE, *path), message) for path, message, _ in explain(error, FromWinner, given)]


def find_winner(fields: Mapping[str, Any], find: FindWinners) -> dict[str, Any]:
    """Return a study's fields with its winners looked up; as they are where there is nothing to look up.

    Raises:
        WorkspaceError: what `find` raises: no such study, or its search has not ended.
    """
    recipe = fields.get("recipe")
    begun = read_from(recipe)[0] if isinstance(recipe, Mapping) else None
    if begun is None or not isinstance(recipe, Mapping):
        return dict(fields)
    found = {label: dict(winner) for label, winner in find(begun.study, begun.block).items()}
    return {**fields, "recipe": {**recipe, FROM: {**recipe[FROM], "found": found}}}
