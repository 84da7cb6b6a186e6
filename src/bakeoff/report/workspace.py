"""Questions about all studies of a workspace: a table of them, their tags, and how their settings differ."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import UnknownStudyError
from bakeoff.ledger import read
from bakeoff.ledger.given import find_given_study, read_name
from bakeoff.ledger.tables import read_recipes
from bakeoff.ledger.tags import change_tags
from bakeoff.report.gather import read_plan
from bakeoff.report.overview import Overview, Overviews, select
from bakeoff.study import differences
from bakeoff.study.differences import Difference
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders, check_workspace

DEFAULT_WORKSPACE = Path("runs")


def list_studies(
    workspace: str | Path = DEFAULT_WORKSPACE,
    filters: Sequence[str] = (),
    sort: str = "-date",
    *,
    name: str | None = None,
) -> tuple[Overview, ...]:
    """Return the studies of a workspace with their best arms, verdicts and costs. Trains nothing, needs no torch.

    Args:
        workspace: the folder of the ledger.
        filters: `FIELD=VALUE` (state, dataset, tag, name, arm, metric), or a text that is anywhere in a study's row.
        sort: date, name, state, dataset, metric, score, looks, cost or trials; with `-` in front descending.
        name: only studies of this name, or the one with this id prefix or study file.

    Raises:
        WorkspaceError: there is no ledger, or no such study.
    """
    folders = Folders(check_workspace(workspace))
    rows = select(Overviews(folders, writes=True).read(), filters, sort)
    if name is None:
        return rows
    with read.open_reading(folders) as connection:
        matched = read.match_studies(read.list_studies(connection), read_name(connection, name))
    kept = {study.study_id for study in matched}
    return tuple(row for row in rows if row.study_id in kept)


def tag_study(
    name: str, *, add: Iterable[str] = (), remove: Iterable[str] = (), workspace: str | Path = DEFAULT_WORKSPACE
) -> tuple[str, ...]:
    """Add tags to a study and take others away; return those it has then, sorted.

    Raises:
        WorkspaceError: there is no such study, a tag is not valid, or the workspace cannot be written.
    """
    folders = Folders(check_workspace(workspace))
    with read.open_reading(folders) as connection:
        study_id = find_given_study(connection, name)
    return change_tags(folders, study_id, add, remove)


def diff_studies(
    names: Sequence[str], workspace: str | Path = DEFAULT_WORKSPACE
) -> tuple[tuple[str, ...], tuple[Difference, ...]]:
    """Return the studies' labels, and the settings that are not the same in all of them.

    Args:
        names: two or more studies: names, id prefixes or study files.
        workspace: the folder of the ledger.

    Raises:
        WorkspaceError: there is no ledger or no such study, or one is named twice.
    """
    with read.open_reading(Folders(check_workspace(workspace))) as connection:
        ids = [find_given_study(connection, name) for name in names]
        if len(set(ids)) < len(ids):
            raise UnknownStudyError(f"{', '.join(names)}: the same study twice. Name different ones, by id if need be.")
        short = read.shorten_ids([study.study_id for study in read.list_studies(connection)])
        studies = [_read_study(connection, study_id) for study_id in ids]
    recorded = [study.name for study in studies]
    labels = [
        study.name if recorded.count(study.name) == 1 else f"{study.name} {short[study_id]}"
        for study, study_id in zip(studies, ids, strict=True)
    ]
    return tuple(labels), differences.diff_studies(studies)


def diff_arms(name: str, arms: Sequence[str], workspace: str | Path = DEFAULT_WORKSPACE) -> tuple[Difference, ...]:
    """Return the fields of the recipe that are not the same in all of these arms of a study.

    Raises:
        StudyError: it has no such arm.
        WorkspaceError: there is no ledger, or no such study.
    """
    with read.open_reading(Folders(check_workspace(workspace))) as connection:
        study_id = find_given_study(connection, name)
        study = _read_study(connection, study_id)
        trained = {}
        for key, content in read_recipes(connection, study_id) if study.search is not None else ():
            try:
                trained[key] = Recipe.model_validate(content)
            except ValidationError:  # of an older version: without this recipe, its arm is unknown
                continue
    return differences.diff_arms(study, arms, trained)


def _read_study(connection: sqlite3.Connection, study_id: str) -> Study:
    return read_plan(read.read_study(connection, study_id), connection)[0]
