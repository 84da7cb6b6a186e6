"""Examples of settings: taken from the shipped studies, which are tested; a few are written for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from pages.schema import format_value

MAX_CHARACTERS = 90

ANY = "NAME"
"""In a path, a name that the study's author chooses."""

WRITTEN = Path(__file__).with_name("examples.yaml")


@cache
def list_written() -> Mapping[str, Mapping[str, Any]]:
    """Return the written examples, by their text."""
    lines = [line for line in WRITTEN.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {line: yaml.safe_load(line) for line in lines}


@cache
def list_shipped() -> Mapping[str, Mapping[str, Any]]:
    """Return the shipped studies as plain values, by name."""
    folder = files("bakeoff.studies")
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return {path.name.removesuffix(".yaml"): yaml.safe_load(path.read_text("utf-8")) for path in paths}


def find_example(path: str) -> str:
    """Return an example of a setting as Markdown; empty if there is none."""
    keys = path.split(".")
    for name, study in list_shipped().items():
        for value in _find_in_study(study, keys):
            text = _format(path, value)
            if len(text) <= MAX_CHARACTERS:
                return f"{text}, as in [{name}](studies.md#{name})"
    for text, study in list_written().items():
        if any(True for _ in _find_values(study, keys)):
            return f"For example `{text}`"
    return ""


def _find_in_study(study: Mapping[str, Any], keys: list[str]) -> Iterator[Any]:
    """Yield a setting's values in a study; those of a recipe also from its arms and blocks."""
    yield from _find_values(study, keys)
    if keys[0] == "recipe":
        for axis in (*study.get("arms", ()), *study.get("blocks", ())):
            for case in axis.values():
                yield from _find_values(case, keys[1:])


def _find_values(node: Any, keys: list[str]) -> Iterator[Any]:
    if not keys:
        yield node
    elif isinstance(node, list):
        for part in node:
            yield from _find_values(part, keys)
    elif isinstance(node, Mapping):
        for key in node if keys[0] == ANY else {keys[0]} & node.keys():
            yield from _find_values(node[key], keys[1:])
        if len(keys) > 1 and ".".join(keys) in node:
            yield node[".".join(keys)]


def _format(path: str, value: object) -> str:
    keys = path.split(".")
    for key in reversed(keys[1:]):
        value = {key: value}
    return f"For example `{keys[0]}: {format_value(value)}`"
