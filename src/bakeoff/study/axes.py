"""Axes: what varies between blocks, or between arms.

`blocks` and `arms` are lists of axes, and every combination of their entries is a block or an arm. An axis either
lists values for one field (`optimizer.learning_rate: [0.1, 0.01]`) or names cases (`small: {epochs: 5}`), each a
mapping of changes. In a case, `from: NAME` starts from the changes of another case of the same axis. A case whose name
begins with `_` is a template: other cases build on it, but it is not an entry itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import CONFLICT, INVALID_AXES, UNKNOWN_NAME, nearest
from bakeoff.study.explain import Path, shorten
from bakeoff.study.merge import Draft, Source, list_choices

FIXED_FIELDS = (
    "question",
    "name",
    "about",
    "quick",
    "quick_of",
    "data",
    "recipe",
    "blocks",
    "arms",
    "design",
    "groups",
    "search",
    "ensembles",
    "replicates",
    "seed",
    "numeric",
    "decide",
    "published",
    "expect",
)
"""Fields of a study that are the same for all arms, so no arm can change them."""

MAX_CHAIN = 30
"""Maximum number of cases in a chain of `from`."""

TEMPLATE = "_"
"""Prefix of a template's name."""


class Fault(NamedTuple):
    """An error in a study.

    Attributes:
        path: where it is.
        message: what is wrong, and the remedy.
        code: of the kind of mistake.
    """

    path: Path
    message: str
    code: str = CONFLICT


@dataclass(frozen=True)
class Change:
    """One value for one field.

    Attributes:
        path: the field, beginning with `recipe`, `data` or `search`.
        value: the new value, or a mapping to merge into it.
        source: where the study gives it.
    """

    path: Path
    value: Any
    source: Source


@dataclass(frozen=True)
class Entry:
    """One value or one case of an axis: a label and what it changes.

    Attributes:
        label: its name in reports.
        changes: in the order in which they are applied.
        place: its path in the study.
        named: whether it is a named case.
    """

    label: str
    changes: tuple[Change, ...]
    place: Path
    named: bool

    def apply(self, draft: Draft) -> None:
        """Apply the changes to `draft`."""
        for change in self.changes:
            draft.write(change.path, change.value, change.source)


def is_field_axis(axis: Mapping[str, Any]) -> bool:
    """Return whether an axis lists values for one field; otherwise it names cases."""
    return len(axis) == 1 and isinstance(next(iter(axis.values())), list)


def list_cases(axis: Mapping[str, Any]) -> list[str]:
    """Return the named cases of an axis, without templates."""
    return [name for name in axis if not name.startswith(TEMPLATE)]


def list_templates(axes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the templates of some axes."""
    named = [axis for axis in axes if not is_field_axis(axis)]
    return [name for axis in named for name in axis if name.startswith(TEMPLATE)]


def make_label(value: object) -> str:
    """Return a value's label in reports: `0.1`, `true`, `adam(learning_rate=0.1)`, `filters=[6, 16]`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_label_inside(part) for part in value)}]"
    if not isinstance(value, Mapping):
        return str(value)
    settings = ", ".join(f"{key}={_label_inside(part)}" for key, part in value.items() if key != "name")
    if "name" not in value:
        return settings
    return f"{value['name']}({settings})" if settings else str(value["name"])


def _label_inside(value: object) -> str:
    """Return a value's label inside another one: settings without a name are put in braces."""
    label = make_label(value)
    return f"{{{label}}}" if isinstance(value, Mapping) and "name" not in value else label


def read_axes(section: str, axes: Sequence[Mapping[str, Any]]) -> tuple[list[list[Entry]], list[Fault]]:
    """Read the axes of `blocks` or `arms`.

    Args:
        section: `blocks` or `arms`.
        axes: plain mappings, as given in the study.

    Returns:
        The entries of each axis that could be read, and the errors of the others.
    """
    entries: list[list[Entry]] = []
    faults: list[Fault] = []
    for number, axis in enumerate(axes):
        place: Path = (section, number)
        if misread := _find_misreading(place, axis):
            faults.append(misread)
            entries.append([])
            continue
        read = _read_field_axis if is_field_axis(axis) else _read_named_axis
        found = read(place, axis, faults) if axis else []
        if not axis:
            faults.append(
                Fault(place, "an empty axis: give it a field with a list of values, or named cases", INVALID_AXES)
            )
        entries.append(found)
    return entries, faults


def _find_misreading(place: Path, axis: Mapping[str, Any]) -> Fault | None:
    """Return the fault of an axis that was written as an arm: with a field for its name, or in place of its name."""
    if isinstance(axis.get("name"), str):
        how = f"'- {axis['name']}: {{{', '.join(f'{key}: ...' for key in axis if key != 'name')}}}'"
        message = (
            f"cases are named by their key, not by a field 'name': write {how}, and the others under the same '- '"
        )
        return Fault((*place, "name"), message, INVALID_AXES)
    for key, value in axis.items():
        if key in list_choices() and isinstance(value, Mapping) and "name" in value:
            message = f"{key} is a field: give it a list of values ({key}: [...]), or name the case that changes it"
            return Fault((*place, key), message, INVALID_AXES)
    return None


def _read_field_axis(place: Path, axis: Mapping[str, Any], faults: list[Fault]) -> list[Entry]:
    ((name, values),) = axis.items()
    key_path = (*place, name)
    if not values:
        faults.append(Fault(key_path, "an empty list: name at least one value", INVALID_AXES))
    path = _resolve_field(place, name, key_path, faults)
    if path is None:
        return []
    entries = []
    for position, value in enumerate(values):
        value_path = (*key_path, position)
        change = Change(path, value, Source(key_path, value_path))
        entries.append(Entry(make_label(value), (change,), value_path, named=False))
    return entries


def _read_named_axis(place: Path, axis: Mapping[str, Any], faults: list[Fault]) -> list[Entry]:
    lists = [name for name, changes in axis.items() if isinstance(changes, list)]
    if lists:
        advice = "an axis lists values for one field only: start another axis with '- '"
        faults.append(Fault((*place, lists[0]), advice, INVALID_AXES))
        return []
    entries = []
    for name, changes in axis.items():
        if changes is not None and not isinstance(changes, Mapping):
            allowed = f"a list of values ([{shorten(changes)}]), or a mapping of changes for a case of this name"
            faults.append(Fault((*place, name), f"given {shorten(changes)}, allowed {allowed}", INVALID_AXES))
            continue
        chain = _follow_chain(place, axis, name, faults)
        made = [change for link in chain for change in _read_changes(place, link, axis[link], faults, link == name)]
        if not name.startswith(TEMPLATE):
            entries.append(Entry(name, tuple(made), (*place, name), named=True))
    if not list_cases(axis):
        faults.append(Fault(place, "only templates (names that begin with _): name at least one case", INVALID_AXES))
    return entries


def _follow_chain(place: Path, axis: Mapping[str, Any], name: str, faults: list[Fault]) -> list[str]:
    """Return the chain of cases that a case builds on, ending with the case itself."""
    chain = [name]
    while isinstance(axis[chain[-1]], Mapping) and "from" in axis[chain[-1]]:
        base = axis[chain[-1]]["from"]
        here = (*place, chain[-1], "from")
        others = [other for other in axis if other != chain[-1]]
        if not isinstance(base, str) or base not in axis:
            allowed = f"{', '.join(others) or 'none'}.{nearest(base, others)}"
            faults.append(Fault(here, f"no case {shorten(base)} in this axis, allowed: {allowed}", UNKNOWN_NAME))
            break
        if base in chain:
            if base == name:
                faults.append(Fault(here, f"circular: {' from '.join([*chain, base])}", INVALID_AXES))
            break
        if len(chain) >= MAX_CHAIN:
            message = f"{len(chain) + 1} cases build on each other with 'from', allowed {MAX_CHAIN}"
            faults.append(Fault(here, message, INVALID_AXES))
            return [name]
        chain.append(base)
    return chain[::-1]


def _read_changes(place: Path, name: str, changes: Any, faults: list[Fault], report: bool) -> list[Change]:
    made = []
    for key, value in changes.items() if isinstance(changes, Mapping) else ():
        if key == "from":
            continue
        source = (*place, name, key)
        path = _resolve_field(place, key, source, faults if report else [])
        if path is not None:
            made.append(Change(path, value, Source(source, source)))
    return made


def _resolve_field(place: Path, name: str, source: Path, faults: list[Fault]) -> Path | None:
    """Return a field's full path; None if it may not vary here, with the reason added to `faults`."""
    parts = tuple(name.split("."))
    first = parts[0]
    if first == "data" and place[0] == "blocks":
        return parts if len(parts) > 1 else ("data",)
    if first == "search" and place[0] == "blocks":
        # The keys of a space contain dots: search.space.optimizer.learning_rate is one field of the space.
        return (*parts[:2], ".".join(parts[2:])) if len(parts) > 2 and parts[1] == "space" else parts
    if first == "recipe":
        remedy = f"write {shorten('.'.join(parts[1:]) or 'epochs')}: leave out 'recipe' before fields of the recipe"
        faults.append(Fault(source, remedy, INVALID_AXES))
        return None
    if first not in FIXED_FIELDS or first in Recipe.model_fields:
        return ("recipe", *parts)
    varied = "the recipe" if place[0] == "arms" else "the recipe, data and search"
    remedy = " Vary it in blocks." if first == "data" else ""
    message = f"{first} is the same for all arms; {place[0]} may change {varied} only.{remedy}"
    faults.append(Fault(source, message, INVALID_AXES))
    return None
