"""A search space: the fields of the recipe that a search may choose, and their possible values. No Optuna.

In a study file, field by field:

- `optimizer: [adam, {name: sgd, momentum: 0.9}]`: any of these;
- `optimizer.learning_rate: {low: 1.0e-5, high: 0.1, log: true}`: any number between;
- `network.layers.0.filters: {low: 32, high: 96, step: 32}`: any of these whole numbers;
- `optimizer.nesterov: {values: [true, false], when: {optimizer: sgd}}`: chosen only if another field has that value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import nearest
from bakeoff.study.dimensions import AnyDimension, Categorical, Dimension, matches
from bakeoff.study.explain import shorten
from bakeoff.study.merge import list_choices


def find_field(path: str) -> str:
    """Return the field that a path means: `optimizer.name` means `optimizer`."""
    outer, _, last = path.rpartition(".")
    return outer if last == "name" and outer in list_choices() else path


def find_faults(space: Mapping[str, AnyDimension]) -> Iterator[tuple[str, str]]:
    """Yield the errors between the dimensions of a space: (path of the dimension, message)."""
    if not space:
        yield "", "an empty space: name at least one field, such as 'optimizer.learning_rate: {low: 0.0001, high: 0.1}'"
    by_field: dict[str, str] = {}
    for path in space:
        field = find_field(path)
        first = field.partition(".")[0]
        if first not in Recipe.model_fields:
            remedy = "fields without the prefix 'recipe'" if first == "recipe" else ", ".join(Recipe.model_fields)
            yield path, f"no field of the recipe, allowed: {remedy}.{nearest(first, Recipe.model_fields)}"
        if field in by_field:
            yield path, f"the same field as {by_field[field]}: leave one out"
        by_field.setdefault(field, path)
    for path, dimension in space.items():
        yield from _find_condition_faults(path, dimension, space, by_field)
    ordered = order_space(space)
    left = [path for path in space if path not in ordered]
    if left and all(find_field(parent) in by_field for dimension in space.values() for parent in dimension.when):
        yield left[0], f"circular when: {', '.join(left)}"


def _find_condition_faults(
    path: str, dimension: AnyDimension, space: Mapping[str, AnyDimension], by_field: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for parent, allowed in dimension.when.items():
        other = by_field.get(find_field(parent))
        if other is None:
            others = [name for name in space if name != path]
            known = ", ".join(others) or "none"
            yield path, f"when: no field {shorten(parent)} in this space, allowed: {known}.{nearest(parent, others)}"
            continue
        for value in allowed:
            if not space[other].has(value):
                yield path, f"when: {other} is never {shorten(value)}"


def order_space(space: Mapping[str, AnyDimension]) -> tuple[str, ...]:
    """Return the paths of a space, every field after those its `when` names; circular ones are left out."""
    ordered: list[str] = []
    fields: set[str] = set()
    while True:
        ready = [
            path
            for path, dimension in space.items()
            if path not in ordered and all(find_field(parent) in fields for parent in dimension.when)
        ]
        if not ready:
            return tuple(ordered)
        ordered += ready
        fields.update(find_field(path) for path in ready)


def is_chosen(dimension: AnyDimension, changes: Mapping[str, Any]) -> bool:
    """Return whether a field's `when` holds, given the values chosen for the fields before it."""
    chosen = {find_field(path): value for path, value in changes.items()}
    parents = [(find_field(parent), allowed) for parent, allowed in dimension.when.items()]
    return all(parent in chosen and matches(chosen[parent], allowed) for parent, allowed in parents)


def arrange(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes in the order in which to apply them: a field before its subfields."""
    paths = sorted(changes, key=lambda path: len(find_field(path).split(".")))
    return {path: changes[path] for path in paths}


def find_sampler_faults(space: Mapping[str, AnyDimension], sampler: str) -> Iterator[tuple[str, str]]:
    """Yield what a sampler does not support in a space: (path of the dimension, message).

    Args:
        space: a valid space.
        sampler: `grid` needs finite ranges; `cmaes` needs at least two ranges that are always chosen.
    """
    if sampler == "grid":
        for path, dimension in space.items():
            if dimension.count is None:
                yield path, "a grid needs finitely many values here: give a step, or a list of values"
    elif sampler == "cmaes":
        moving = [one for one in space.values() if not isinstance(one, Categorical) and one.count != 1 and not one.when]
        if len(moving) < 2:
            yield "", f"cmaes needs at least two ranges without when, but there are {len(moving)}: use tpe"


def iterate_points(space: Mapping[str, AnyDimension]) -> Iterator[dict[str, Any]]:
    """Yield every point of a space, as changes of the fields that are chosen there.

    Raises:
        ValueError: a range is continuous.
    """
    if any(dimension.count is None for dimension in space.values()):
        raise ValueError("a range without a step has infinitely many points")
    yield from _complete({}, order_space(space), space)


def _complete(
    changes: dict[str, Any], paths: Sequence[str], space: Mapping[str, AnyDimension]
) -> Iterator[dict[str, Any]]:
    if not paths:
        yield arrange(changes)
        return
    first, *others = paths
    if not is_chosen(space[first], changes):
        yield from _complete(changes, others, space)
        return
    for value in space[first].list_values():
        yield from _complete({**changes, first: value}, others, space)


def list_probes(space: Mapping[str, AnyDimension]) -> tuple[dict[str, Any], ...]:
    """Return a few points that together have every field at both ends of its range, or at each of its values.

    If they are all recipes that fit their images, the space has no obvious mistake. All fields other than the one
    probed and those its `when` names have their first value.
    """
    probes: list[dict[str, Any]] = []
    for path, dimension in space.items():
        values = dimension.list_values()
        for value in values if isinstance(dimension, Categorical) else (values[0], values[-1]):
            probe = _make_probe(space, {**_meet_conditions(space, dimension), path: value})
            if probe not in probes:
                probes.append(probe)
    return tuple(probes)


def _meet_conditions(space: Mapping[str, AnyDimension], dimension: AnyDimension) -> dict[str, Any]:
    """Return values for which a dimension is chosen."""
    needed: dict[str, Any] = {}
    for parent, allowed in dimension.when.items():
        path = next(path for path in space if find_field(path) == find_field(parent))
        value = next(value for value in space[path].list_values() if matches(value, allowed))
        needed |= {**_meet_conditions(space, space[path]), path: value}
    return needed


def _make_probe(space: Mapping[str, AnyDimension], wanted: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for path in order_space(space):
        if is_chosen(space[path], changes):
            changes[path] = wanted[path] if path in wanted else space[path].list_values()[0]
    return arrange(changes)


def _check_space(space: dict[str, AnyDimension]) -> dict[str, AnyDimension]:
    faults = [f"{path}: {message}" if path else message for path, message in find_faults(space)]
    if faults:
        raise PydanticCustomError("space", "{message}", {"message": "; ".join(faults)})
    return space


Space: TypeAlias = Annotated[dict[str, Dimension], AfterValidator(_check_space)]
"""Dotted fields of the recipe, each with its possible values."""
