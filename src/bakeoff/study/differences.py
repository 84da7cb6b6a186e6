"""What differs between the settings of studies, or between the recipes of a study's arms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import UNKNOWN_NAME, Problem, StudyError, nearest
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study

_OF_STUDY = ("question", "replicates", "seed", "numeric", "decide", "design", "groups", "search", "ensembles")
"""Fields that are compared as they are; images and recipes are compared block by block and arm by arm."""

Flat = Mapping[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """One setting that differs.

    Attributes:
        setting: its dotted name; that of one arm or block begins with its label.
        values: one for each of what is compared, as in a study file; "-" where there is none.
    """

    setting: str
    values: tuple[str, ...]


def diff_studies(studies: Sequence[Study]) -> tuple[Difference, ...]:
    """Return the settings that are not the same in all studies, defaults included: "recipe.epochs", 10 and 20.

    A setting on which all arms of every study agree is listed once; others by the arms of the same label.
    """
    plain = [_flatten({name: _dump(getattr(study, name)) for name in _OF_STUDY}) for study in studies]
    cells = [_list_cells(study) for study in studies]
    images = [_shared([data for data, _ in own.values()]) for own in cells]
    recipes = [_shared([recipe for _, recipe in own.values()]) for own in cells]
    shared = [
        {**flat, **_prefix("data", data), **_prefix("recipe", recipe)}
        for flat, data, recipe in zip(plain, images, recipes, strict=True)
    ]
    found = [*_compare(shared), *_compare_labels("blocks", [[block for block, _ in own] for own in cells])]
    found += _compare_labels("arms", [[arm for _, arm in own] for own in cells])
    return (*found, *_compare_cells(cells, {each.setting for each in found}))


def diff_arms(study: Study, arms: Sequence[str], trained: Mapping[Key, Recipe]) -> tuple[Difference, ...]:
    """Return the fields of the recipe that are not the same in all of these arms.

    Args:
        study: the study.
        arms: labels, two or more.
        trained: recipes by (block, arm), of arms that only a search has defined.

    Raises:
        StudyError: the study has no such arm.
    """
    found = {key: _flatten(_dump(recipe)) for key, recipe in trained.items()}
    cells = found | {key: recipe for key, (_, recipe) in _list_cells(study).items()}
    known = list(dict.fromkeys(arm for _, arm in cells))
    for arm in arms:
        if arm not in known:
            message = f"study '{study.name}' has no arm '{arm}'. Its arms: {', '.join(known)}.{nearest(arm, known)}"
            raise StudyError([Problem("", "arms", message, UNKNOWN_NAME)])
    blocks = list(dict.fromkeys(block for block, _ in cells))
    by_block = {
        block: list(_compare([cells[block, arm] for arm in arms]))
        for block in blocks
        if all((block, arm) in cells for arm in arms)
    }
    return tuple(_merge(by_block))


def _list_cells(study: Study) -> dict[Key, tuple[Flat, Flat]]:
    """Return the images and the recipe of every block and arm, flat."""
    plan = expand(study)
    return {
        (trial.block, trial.arm): (_flatten(_dump(trial.data)), _flatten(_dump(trial.recipe)))
        for trial in plan.trials
        if trial.replicate == 0
    }


def _dump(value: object) -> Any:
    """Return a record as plain values with all its fields; its own JSON leaves out some at their defaults."""
    if isinstance(value, BaseModel):
        return {name: _dump(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _dump(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_dump(part) for part in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def _flatten(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, part in value.items():
        inner = f"{path}.{name}" if path else str(name)
        flat |= _flatten(part, inner) if isinstance(part, Mapping) and part else {inner: part}
    return flat


def _prefix(path: str, flat: Flat) -> Flat:
    return {f"{path}.{name}": value for name, value in flat.items()}


def _shared(cells: Sequence[Flat]) -> Flat:
    """Return what all cells agree on."""
    first, *others = cells or [{}]
    return {
        name: value for name, value in first.items() if all(name in other and other[name] == value for other in others)
    }


_ABSENT = object()


def _compare(flats: Sequence[Flat]) -> Iterator[Difference]:
    for name in dict.fromkeys(name for flat in flats for name in flat):
        values = [flat.get(name, _ABSENT) for flat in flats]
        if any(value != values[0] for value in values):
            yield Difference(name, tuple(map(_format, values)))


def _compare_labels(kind: str, labels: Sequence[Sequence[str]]) -> Iterator[Difference]:
    """Yield the labels that only some studies have."""
    in_all = set.intersection(*map(set, labels))
    own = [[label for label in dict.fromkeys(each) if label not in in_all] for each in labels]
    if any(own):
        yield Difference(
            f"{kind} not in {'both' if len(labels) == 2 else 'all'}", tuple(", ".join(e) or "-" for e in own)
        )


def _compare_cells(cells: Sequence[Mapping[Key, tuple[Flat, Flat]]], told: set[str]) -> Iterator[Difference]:
    """Yield what differs in the arms that all studies have, without what was told of all arms."""
    for arm in dict.fromkeys(arm for _, arm in cells[0]):
        by_block = {
            block: [
                Difference(each.setting, each.values)
                for each in _compare([own[block, arm][1] for own in cells])
                if f"recipe.{each.setting}" not in told
            ]
            for block in dict.fromkeys(block for block, _ in cells[0])
            if all((block, arm) in own for own in cells)
        }
        yield from (Difference(f"{arm}: {each.setting}", each.values) for each in _merge(by_block))


def _merge(by_block: Mapping[str, Sequence[Difference]]) -> Iterator[Difference]:
    """Yield what differs in all blocks alike once, and the rest with its block."""
    everywhere = [each for each in next(iter(by_block.values()), []) if all(each in own for own in by_block.values())]
    yield from everywhere
    for block, own in by_block.items():
        yield from (Difference(f"{block}: {each.setting}", each.values) for each in own if each not in everywhere)


def _format(value: object) -> str:
    if value is _ABSENT:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
