"""`--set path.to.field=VALUE`: one value of a study changed on the command line.

A path is made of fields and list indices, joined by dots. Keys may contain dots themselves:
`blocks.0.data.name=[mnist]` changes the key `data.name` of the first axis. A list given for a whole axis
(`arms.0=[he_normal]`, `blocks.1=[lenet, modnet1]`) keeps only these values or named cases. A mapping given for a new
case adds it: `arms.0.resnet50={network: "torchvision:resnet50"}`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import ORIGINS
from bakeoff.errors import INVALID_OVERRIDE, Problem, StudyError, nearest
from bakeoff.study.axes import TEMPLATE, is_field_axis, list_cases, make_label
from bakeoff.study.document import MAX_LEVELS, Document, read_value
from bakeoff.study.explain import Path, join_path, shorten
from bakeoff.study.merge import list_choices

PLACE = "--set"
AXES = ("blocks", "arms")


def override(document: Document, text: str) -> Document:
    """Return the document with one value changed.

    Args:
        document: the original; it is not modified.
        text: PATH=VALUE, the value in YAML.

    Raises:
        StudyError: the text is not of this form, or the path does not exist.
    """
    path_text, separator, value_text = text.partition("=")
    if not separator or not path_text.strip():
        message = f"given {shorten(text)}, allowed PATH=VALUE, for example recipe.epochs=3"
        raise StudyError([Problem(PLACE, "", message, INVALID_OVERRIDE)])
    if path_text.count(".") >= MAX_LEVELS:
        raise StudyError(
            [Problem(PLACE, "", f"{shorten(path_text)}: nested deeper than {MAX_LEVELS} levels", INVALID_OVERRIDE)]
        )
    return change(document, path_text.strip(), _read_value(path_text, value_text), PLACE)


def change(document: Document, path_text: str, value: Any, place: str) -> Document:
    """Return the document with one value changed.

    Args:
        document: the original; it is not modified.
        path_text: the path, in the syntax of `--set`.
        value: the new value, plain.
        place: where the change is given, for messages.

    Raises:
        StudyError: the path does not exist.
    """
    fields = copy.deepcopy(document.fields)
    try:
        path = _resolve(fields, path_text.split("."), (), is_mapping=isinstance(value, Mapping))
        is_axis = len(path) == 2 and path[0] in AXES and isinstance(path[1], int)
        if is_axis and not isinstance(value, Mapping):
            return _keep(document, fields, path, value if isinstance(value, list) else [value])
    except StudyError as error:
        raise StudyError([replace(problem, place=place) for problem in error.problems]) from None
    _assign(fields, path, value)
    places = {known: where for known, where in document.places.items() if known[: len(path)] != path}
    made = {path[:length]: place for length in range(1, len(path) + 1) if path[:length] not in places}
    return Document(fields, {**places, **made}, document.problems)


def make_quick(document: Document, name: str) -> Document:
    """Return a study's quick version: with its `quick.changes` applied, and its own name.

    Args:
        document: the full study.
        name: the full study's name.

    Raises:
        StudyError: the study has no quick version, or the path of a change does not exist.
    """
    quick = document.fields.get("quick")
    changes = quick.get("changes") if isinstance(quick, Mapping) else None
    if not isinstance(changes, Mapping) or not changes:
        message = "this study has no quick version: add 'quick: {changes: {recipe.epochs: 1}}', or use --set"
        raise StudyError([Problem("--quick", "", message, INVALID_OVERRIDE)])
    problems: list[Problem] = []
    for path_text, value in changes.items():
        try:
            document = change(document, path_text, value, document.locate(("quick", "changes", path_text)))
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    return replace(document, fields={**document.fields, "name": f"{name}-quick", "quick_of": name})


def _read_value(path_text: str, value_text: str) -> Any:
    try:
        return read_value(value_text, PLACE)
    except StudyError as error:
        raise StudyError([replace(problem, place=PLACE, field=path_text) for problem in error.problems]) from None


def _resolve(node: Any, parts: list[str], at: Path, is_mapping: bool) -> Path:
    """Return the path for dotted parts: the longest key that a mapping has, else a new field.

    A mapping for a case that does not exist is a new case of its axis.
    """
    if not parts:
        return at
    if isinstance(node, list):
        if not parts[0].isdecimal() or int(parts[0]) >= len(node):
            allowed = f"0 to {len(node) - 1}" if node else "nothing: the list is empty"
            raise _refuse(at, f"no {shorten(parts[0])} here, allowed {allowed}")
        return _resolve(node[int(parts[0])], parts[1:], (*at, int(parts[0])), is_mapping)
    if isinstance(node, Mapping):
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            if key in node:
                return _resolve(node[key], parts[length:], (*at, key), is_mapping)
        if not at and parts[0] in AXES:
            return _resolve([], parts[1:], (parts[0],), is_mapping)
        if len(at) == 2 and at[0] in AXES:
            return _name_case(node, parts, at, is_mapping)
    elif node is not None and not (isinstance(node, str) and at[-1] in list_choices()):
        raise _refuse(at, f"no field {shorten('.'.join(parts))} here: {shorten(node)} has no fields")
    return (*at, *parts)


def _name_case(axis: Mapping[str, Any], parts: list[str], at: Path, is_mapping: bool) -> Path:
    """Return the path of a new case; its name may have dots, such as 2.5. Refuse what looks like a misspelled field."""
    is_field = any(part in Recipe.model_fields or part in ("data", "from") for part in parts[1:])
    if not is_mapping or is_field_axis(axis) or is_field:
        name = ".".join(parts)
        hint = nearest(name, axis) or nearest(parts[0], axis)
        raise _refuse(at, f"no {shorten(name)} here, allowed: {', '.join(axis)}.{hint}")
    return (*at, ".".join(parts))


def _refuse(at: Path, message: str) -> StudyError:
    return StudyError([Problem(PLACE, join_path(at), message, INVALID_OVERRIDE)])


def _assign(fields: dict[str, Any], path: Path, value: Any) -> None:
    node: Any = fields
    for key in path[:-1]:
        if isinstance(node, dict) and not isinstance(node.get(key), dict | list):
            # A bare name (`optimizer: adam`) becomes a mapping, to take the new field.
            node[key] = {"name": node[key]} if isinstance(node.get(key), str) else {}
        node = node[key]
    if path[-1] == "name" and len(path) > 1 and path[-2] in list_choices() and node.get("name") != value:
        node.clear()  # settings belong to the old choice
    if path[0] == "data" and len(path) == 2 and path[-1] in ORIGINS and value is not None:
        for origin in ORIGINS:
            node.pop(origin, None)  # a folder replaces a dataset's name
    node[path[-1]] = value


def _keep(document: Document, fields: dict[str, Any], path: Path, wanted: list[Any]) -> Document:
    """Keep only some of an axis's values or named cases."""
    axis = fields[str(path[0])][path[1]]
    if not isinstance(axis, dict) or not axis:
        raise _refuse(path, f"given {shorten(axis)}, allowed a mapping")
    ((name, values),) = axis.items() if is_field_axis(axis) else (("", list_cases(axis)),)
    labels = [make_label(value) for value in values]
    chosen = [make_label(value) for value in wanted]
    for label in chosen:
        if label not in labels:
            raise _refuse(path, f"no {shorten(label)} here, allowed: {', '.join(labels)}.{nearest(label, labels)}")
    if not chosen:
        raise _refuse(path, f"an empty list, allowed some of: {', '.join(labels)}")
    if name:
        axis[name] = [value for value, label in zip(values, labels, strict=True) if label in chosen]
        return replace(document, fields=fields, places=_forget_items(document.places, (*path, name)))
    kept = {case: changes for case, changes in axis.items() if case in chosen}
    templates = _rename_templates(axis, kept)
    fields[str(path[0])][path[1]] = {
        templates.get(case, case): _rename_base(axis[case], templates) for case in axis if case in {**kept, **templates}
    }
    moved = {(*path, templates[case]): (*path, case) for case in templates}
    places = {new: document.locate(old) for new, old in moved.items()}
    return replace(document, fields=fields, places={**document.places, **places})


def _forget_items(places: Mapping[Path, str], path: Path) -> dict[Path, str]:
    """Drop the places of a list's items, whose indices have changed; the place of the list is used instead."""
    return {known: place for known, place in places.items() if known[: len(path)] != path or known == path}


def _rename_templates(axis: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, str]:
    """Return template names for the cases that are not kept themselves but that kept ones build on."""
    templates: dict[str, str] = {}
    waiting = list(kept)
    while waiting:
        changes = axis[waiting.pop()]
        base = changes.get("from") if isinstance(changes, Mapping) else None
        if isinstance(base, str) and base in axis and base not in kept and base not in templates:
            waiting.append(base)
            name = base if base.startswith(TEMPLATE) else TEMPLATE + base
            while name != base and name in axis:
                name = TEMPLATE + name
            templates[base] = name
    return templates


def _rename_base(changes: Any, templates: Mapping[str, str]) -> Any:
    if isinstance(changes, Mapping) and changes.get("from") in templates:
        return {**changes, "from": templates[changes["from"]]}
    return changes
