"""Merges changes into a recipe, and records where in the study each value came from.

Mappings are merged recursively; other values replace the old one. A network, optimizer or other choice with a new name
replaces the old choice completely, so that none of its settings remain. The same holds for the weights of a transfer
and for the source of the images: a folder replaces a dataset's name.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import ORIGINS
from bakeoff.study.explain import Path, join_path, list_field_records, shorten


@cache
def list_choices() -> tuple[str, ...]:
    """Return the recipe's fields that are named choices: a bare name is valid, and a new name replaces all settings."""
    records = {name: tuple(list_field_records(field)) for name, field in Recipe.model_fields.items()}
    return tuple(name for name, own in records.items() if own and all("name" in each.model_fields for each in own))


ALTERNATIVES = "put alternatives under one '- '"
"""The remedy for arms that were written as axes of their own."""

WHOLE = (("recipe", "transfer", "weights"), ("recipe", "class_weights"), ("recipe", "clip"))
"""Mappings that replace the old one completely: their fields exclude each other, or are chosen by the user."""


@dataclass(frozen=True)
class Source:
    """The position in the study where a value was given.

    Attributes:
        key: path of the field's name.
        value: path of the value; differs from `key` if an axis lists values for one field.
    """

    key: Path
    value: Path

    @property
    def axis(self) -> Path:
        """The axis that set the value, as (section, index); empty for the study's own fields."""
        return self.key[:2] if self.key[0] in ("blocks", "arms") else ()

    def enter(self, key: str) -> Source:
        """Return the source of a field inside this value."""
        return Source((*self.value, key), (*self.value, key))


@dataclass
class Draft:
    """A tree under construction: `{"recipe": ..., "data": ...}`.

    Attributes:
        tree: mappings, lists and plain values.
        sources: the source of each value, by its path in the tree.
        faults: invalid changes: their source, and a message.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    sources: dict[Path, Source] = field(default_factory=dict)
    faults: list[tuple[Source, str]] = field(default_factory=list)

    def copy(self) -> Draft:
        """Return an independent copy."""
        return Draft(copy.deepcopy(self.tree), dict(self.sources), list(self.faults))

    def find_source(self, path: Path) -> tuple[Source, int] | None:
        """Return the source of the value at `path`, or of the nearest one around it, with the depth of that value."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.sources:
                return self.sources[path[:length]], length
        return None

    def write(self, path: Path, value: object, source: Source) -> None:
        """Merge one value into the tree.

        Args:
            path: its path in the tree, beginning with `recipe` or `data`. Digits index into lists.
            value: a plain value, a list or a mapping.
            source: where it was given in the study.
        """
        if path[0] == "recipe" and len(path) == 3 and path[1] in list_choices() and path[2] == "name":
            path, value = path[:2], value if isinstance(value, str) else {"name": value}
        is_choice = path[0] == "recipe" and len(path) == 2 and path[1] in list_choices()
        if is_choice and isinstance(value, str):
            self._merge(path, {"name": value}, source, bare=True)
        elif path == ("recipe", "network") and isinstance(value, Mapping) and "layers" in value:
            self._merge(path, {"name": "layers", **value}, source)
        else:
            self._merge(path, value, source)

    def _merge(self, path: Path, value: object, source: Source, bare: bool = False) -> None:
        exact = self._make_room(path, source)
        if exact is None:
            return
        if not isinstance(value, Mapping):
            self._put(exact, copy.deepcopy(value), source)
            return
        if not self._can_merge(exact, value):
            self._put(exact, {}, source)
        self.sources[exact] = source
        for key, part in value.items():
            self._merge((*exact, key), part, source if bare else source.enter(key))

    def _make_room(self, path: Path, source: Source) -> Path | None:
        """Make every value above `path` a mapping or list; return the path with indices as numbers."""
        node: Any = self.tree
        exact: list[str | int] = []
        for position, key in enumerate(path):
            if isinstance(node, list):
                if not (isinstance(key, int) or key.isdecimal()) or int(key) >= len(node):
                    allowed = f"0 to {len(node) - 1}" if node else "nothing: it is empty"
                    self.faults.append(
                        (source, f"no {shorten(key)} in {join_path(path[1:position])}, allowed {allowed}")
                    )
                    return None
                key = int(key)
            exact.append(key)
            if position == len(path) - 1:
                break
            if not _has(node, key) or not isinstance(node[key], dict | list):
                self._put(tuple(exact), {}, source)
            node = node[key]
        return tuple(exact)

    def _can_merge(self, path: Path, value: Mapping[str, Any]) -> bool:
        current = self._get(path)
        if not isinstance(current, dict) or path in WHOLE:
            return False
        is_choice = path[0] == "recipe" and len(path) == 2 and path[1] in list_choices()
        return not is_choice or "name" not in value or value["name"] == current.get("name")

    def _get(self, path: Path) -> Any:
        node: Any = self.tree
        for key in path:
            if not _has(node, key):
                return None
            node = node[key]
        return node

    def _put(self, path: Path, value: object, source: Source) -> None:
        """Set a value, and drop the sources of the values it replaces."""
        replaced = {known: self.sources[known] for known in self.sources if known[: len(path)] == path}
        for known, earlier in replaced.items():
            del self.sources[known]
            is_leaf = not isinstance(self._get(known), dict)
            if is_leaf and earlier.axis and earlier.axis != source.axis:
                self._add_conflict(known, source, earlier)
        self._get(path[:-1])[path[-1]] = value
        self.sources[path] = source
        if path[0] == "data" and path[-1] in ORIGINS and len(path) == 2 and value is not None:
            self._replace_origin(path, source)

    def _replace_origin(self, path: Path, source: Source) -> None:
        """Remove earlier sources of images; if one axis gives two of them, validation reports the error."""
        for other in (("data", origin) for origin in ORIGINS if origin != path[-1]):
            earlier = self.sources.get(other)
            if earlier is None or earlier.axis == source.axis or self._get(other) is None:
                continue
            if earlier.axis:
                self._add_conflict(other, source, earlier)
            del self.sources[other], self.tree["data"][other[-1]]

    def _add_conflict(self, path: Path, source: Source, earlier: Source) -> None:
        """Record that two axes change the same value, once per source."""
        reason = f"two axes must not change the same field; {ALTERNATIVES}"
        if source.axis[:1] != earlier.axis[:1]:
            reason = "an arm must not change what its block sets"
        message = f"changes {join_path(path[1:])}, which {join_path(earlier.key)} changes too: {reason}"
        if all(other != source for other, _ in self.faults):
            self.faults.append((source, message))


def _has(node: object, key: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(key, int) and 0 <= key < len(node)
    return isinstance(node, dict) and key in node
