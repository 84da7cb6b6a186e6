"""Looks up the winners of earlier searches in a workspace, for studies that start from them. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bakeoff.errors import BakeoffError, UnknownPartError, WinnerError, nearest
from bakeoff.ledger.read import StudyRecord, find_study, open_reading, read_study
from bakeoff.study.candidates import make_recipe
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study
from bakeoff.study.winner import EVERY_BLOCK, Recipes
from bakeoff.workspace import Folders


def read_winners(workspace: Path, name: str, block: str | None) -> Recipes:
    """Return the recipes found by a study's search, by block; a single one applies to every block.

    Args:
        workspace: the folder of the ledger.
        name: the study's name.
        block: the block whose winner to return; None for all.

    Raises:
        WorkspaceError: no ledger or study, a study without a search, a search that has not ended or found nothing, or
            no such block.
    """
    try:
        with open_reading(Folders(workspace)) as connection:
            record = read_study(connection, find_study(connection, name))
        study = Study.model_validate(record.document)
    except BakeoffError as error:
        raise WinnerError(f"recipe.from: {error}") from None
    if study.search is None:
        raise WinnerError(f"recipe.from: study '{name}' has no search, so no winner.")
    if record.asking:
        raise WinnerError(f"recipe.from: the search of study '{name}' has not ended: run it first.")
    found = _read_recipes(record, study)
    if block is not None and block not in found:
        listed = ", ".join(found) or "none"
        raise UnknownPartError(
            f"recipe.from: study '{name}' has no winner in block '{block}', it has: {listed}.{nearest(block, found)}"
        )
    if not found:
        raise WinnerError(f"recipe.from: the search of study '{name}' has no winner: all its candidates failed.")
    chosen = found if block is None else {block: found[block]}
    num_blocks = 1 if block is not None else len(expand(study).blocks)
    return {EVERY_BLOCK: next(iter(chosen.values()))} if num_blocks == 1 else chosen


def _read_recipes(record: StudyRecord, study: Study) -> dict[str, dict[str, Any]]:
    defaults = {trial.block: trial.recipe for trial in expand(study).trials}
    return {
        row.block: make_recipe(defaults[row.block], row.changes).model_dump(mode="json")
        for row in record.candidates
        if row.is_winner and row.kind == "candidate"
    }
