"""`recipe: {from: {study: tune, winner: true}}`: starts from the winner of an earlier study's search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import Field, JsonValue, ValidationError

from bakeoff.catalog.choices import Record
from bakeoff.errors import INVALID_VALUE
from bakeoff.study.axes import Fault
from bakeoff.study.explain import explain, find_code, shorten

FROM = "from"
FROM_PATH = ("recipe", FROM)

EVERY_BLOCK = ""
"""The label of a winner that is used for all blocks."""

Recipes: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Block's label -> recipe, plain."""

FindWinners: TypeAlias = Callable[[str, str | None], Recipes]
"""(study's name, block's label or None for all) -> the winner's recipe by block; `EVERY_BLOCK` if it is for all."""


class FromWinner(Record):
    """The winner of an earlier study that a recipe starts from; other fields, blocks and arms change it."""

    study: str = Field(min_length=1, max_length=100, description="Name of an earlier study with a search.")
    winner: Literal[True] = Field(description="true: start from the best recipe that its search found.")
    block: str | None = Field(
        default=None, description="Block whose winner to use; null: the same block, or the only one."
    )
    found: dict[str, dict[str, JsonValue]] | None = Field(
        default=None, description="The winners' recipes by block; set when the study is run."
    )

    def choose(self, block: str) -> Mapping[str, Any]:
        """Return the recipe that a block starts from.

        Raises:
            KeyError: there is no winner for this block.
        """
        assert self.found is not None
        return self.found[EVERY_BLOCK if EVERY_BLOCK in self.found else block]


def read_from(recipe: Mapping[str, Any]) -> tuple[FromWinner | None, list[Fault]]:
    """Read a recipe's `from`, and its errors; None if it has no `from`, or an invalid one."""
    if FROM not in recipe:
        return None, []
    given = recipe[FROM]
    if not isinstance(given, Mapping):
        return None, [Fault(FROM_PATH, f"given {shorten(given)}, allowed {{study: NAME, winner: true}}", INVALID_VALUE)]
    try:
        return FromWinner.model_validate(given), []
    except ValidationError as error:
        found = explain(error, FromWinner, given)
        return None, [Fault((*FROM_PATH, *path), message, find_code(kind)) for path, message, kind in found]


def find_winner(fields: Mapping[str, Any], find: FindWinners) -> dict[str, Any]:
    """Return a study's fields with its winners looked up; unchanged if there are none.

    Raises:
        WorkspaceError: raised by `find`: no such study, or its search has not ended.
    """
    recipe = fields.get("recipe")
    start = read_from(recipe)[0] if isinstance(recipe, Mapping) else None
    if start is None or not isinstance(recipe, Mapping):
        return dict(fields)
    found = {label: dict(winner) for label, winner in find(start.study, start.block).items()}
    return {**fields, "recipe": {**recipe, FROM: {**recipe[FROM], "found": found}}}
