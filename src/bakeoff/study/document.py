"""Reads a study file into plain values, with the line of each.

YAML is read by the 1.2 core schema: `1e-3` is a number, and `yes`, `no`, `on`, `off`, `012` and `12:30` are text or
decimal numbers, unlike in YAML 1.1. Keys are always text. Tags are refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from bakeoff.errors import UNREADABLE, Problem, StudyError
from bakeoff.study.explain import Path, join_path, shorten

MAX_CHARACTERS = 1_000_000
MAX_VALUES = 50_000
"""Maximum number of values in a file, counting repetitions by aliases."""

MAX_LEVELS = 30
"""Maximum nesting of mappings and lists."""

MAX_KEY_CHARACTERS = 200
MAX_PROBLEMS = 50
"""Maximum number of problems of the text; reading stops there."""

_MAX_INTEGER_BITS = 256
_TAG = "tag:yaml.org,2002:"
_SCALARS: Mapping[str, tuple[str, str]] = {
    "null": (r"~|null|Null|NULL|", "~nN"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


class _Loader(yaml.SafeLoader):
    """Composes nodes by YAML 1.2's core schema; constructs nothing, and stops at `MAX_LEVELS`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (a table of yaml's own)
    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.level > MAX_LEVELS:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=cast(Any, self).peek_event().start_mark)
        self.level += 1
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


for _name, (_pattern, _first) in _SCALARS.items():
    _firsts = [*_first, ""] if _name == "null" else [*_first]
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _firsts)

_UNSEEN = ("Cc", "Cs")
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_TOO_DEEP = f"nested deeper than {MAX_LEVELS} levels"


@dataclass(frozen=True)
class Document:
    """A study before it is checked.

    Attributes:
        fields: plain values, as in the file, with overrides applied.
        places: `file:line` of each value, by path; the empty path is the file itself.
        problems: errors in a text that could still be read.
    """

    fields: dict[str, Any]
    places: dict[Path, str]
    problems: tuple[Problem, ...] = ()

    def locate(self, path: Path) -> str:
        """Return the place of a value, or of the nearest value that contains it."""
        return next(self.places[path[:length]] for length in range(len(path), -1, -1) if path[:length] in self.places)


def read_document(text: str, name: str) -> Document:
    """Read the text of a study file.

    Args:
        text: YAML; one mapping.
        name: the file's name in messages.

    Raises:
        StudyError: the text is not YAML, or not a mapping.
    """
    node = compose(text, name)
    if node is None:
        raise StudyError([Problem(name, "", "the file is empty: start with 'question: ...'", UNREADABLE)])
    reading = _Reading(name)
    fields = reading.read(node, ())
    if not isinstance(fields, dict):
        message = f"given {shorten(fields)}, allowed a mapping: lines such as 'question: ...'"
        raise StudyError(reading.problems or [Problem(reading.place(node), "", message, UNREADABLE)])
    return Document(fields, {**reading.places, (): name}, tuple(reading.problems))


def read_value(text: str, name: str) -> Any:
    """Read one value, as in a study file.

    Raises:
        StudyError: the text is not YAML.
    """
    node = compose(text, name)
    if node is None:
        return None
    reading = _Reading(name)
    value = reading.read(node, ())
    if reading.problems:
        raise StudyError(reading.problems)
    return value


def compose(text: str, name: str) -> yaml.Node | None:
    """Return the tree of YAML nodes of a text; None if it is empty.

    Raises:
        StudyError: the text is not YAML; gives the line and the reason.
    """
    if len(text) > MAX_CHARACTERS:
        raise StudyError(
            [Problem(name, "", f"too large: a study file has at most {MAX_CHARACTERS:,} characters", UNREADABLE)]
        )
    try:
        # The loader only composes nodes; it never constructs objects.
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise StudyError([Problem(place, "", _describe(error), UNREADABLE)]) from None
    except yaml.reader.ReaderError as error:
        place = f"{name}:{text.count(chr(10), 0, error.position) + 1}"
        message = f"not a text file: it contains the character U+{int(error.character):04X}"
        raise StudyError([Problem(place, "", message, UNREADABLE)]) from None


def _describe(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "not YAML: indented with a tab, use spaces"
    if problem == _TOO_DEEP:
        return problem
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}"


@dataclass
class _Reading:
    """One pass over a tree of nodes, which makes plain values and records their places."""

    name: str
    places: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    num_values: int = 0

    def place(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.num_values += 1
        self.places.setdefault(path, self.place(node))
        if self.num_values > MAX_VALUES:
            raise StudyError([Problem(self.name, "", f"more than {MAX_VALUES:,} values, aliases repeated", UNREADABLE)])
        if len(path) > MAX_LEVELS:
            raise StudyError([Problem(self.place(node), "", _TOO_DEEP, UNREADABLE)])
        tag = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in (*_SCALARS, "str"):
            return self._read_scalar(node, tag, path)
        self._add(node, path, f"the tag {shorten(node.tag)} is not allowed: write a plain value")
        return None

    def _read_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._add(key_node, path, "a key must be a word or number, not a list or mapping")
                continue
            key = str(key_node.value)
            fault = _find_key_fault(key)
            if fault:
                self._add(key_node, path, fault)
                continue
            inside = (*path, key)
            if key in fields:
                first = self.places[inside].rpartition(":")[2]
                self._add(key_node, inside, f"given twice, first on line {first}: keep one")
                continue
            self.places[inside] = self.place(key_node)
            fields[key] = self.read(value_node, inside)
        return fields

    def _read_scalar(self, node: yaml.ScalarNode, tag: str, path: Path) -> Any:
        text = str(node.value)
        try:
            if tag == "int":
                return _read_integer(text)
            if tag == "float":
                return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
        except ValueError:
            self._add(node, path, f"given {shorten(text)}, allowed a number of a usual size")
            return None
        if tag == "bool":
            return text.lower() == "true"
        hidden = find_hidden(text)
        if hidden:
            self._add(node, path, f"contains the character {hidden}, which is invisible: leave it out")
            return text.encode("utf-8", "replace").decode()  # the next check takes text only
        return None if tag == "null" else text

    def _add(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.place(node), join_path(path), message, UNREADABLE))
        if len(self.problems) >= MAX_PROBLEMS:
            raise StudyError([*self.problems, Problem("", "", "and perhaps more: the rest was not read", "")])


def _is_hidden(character: str) -> bool:
    return character in _TURNING or (unicodedata.category(character) in _UNSEEN and character not in "\t\n")


def _read_integer(text: str) -> int:
    """Return a whole number; raises ValueError if it is so large that printing it would be slow."""
    value = int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if value.bit_length() > _MAX_INTEGER_BITS:
        raise ValueError
    return value


def _find_key_fault(key: str) -> str:
    """Return the problem with a key (the name of a field or an arm); empty if there is none."""
    if len(key) > MAX_KEY_CHARACTERS:
        return f"a key of {len(key):,} characters, {shorten(key)}: allowed {MAX_KEY_CHARACTERS}"
    hidden = find_hidden(key) or ("U+000A" if "\n" in key else "")
    if hidden:
        return f"the key {shorten(key)} contains the character {hidden}, which is invisible: leave it out"
    return "" if key.strip() else f"the key {shorten(key)} is blank: give it a name"


def find_hidden(text: str) -> str:
    """Return the first invisible character, as U+XXXX, that can make a text look like another; empty if none.

    These are control characters (except tabs and line ends), marks of text direction and lone surrogates.
    """
    if text.isascii() and text.isprintable():
        return ""
    found = next(filter(_is_hidden, text), "")
    return f"U+{ord(found):04X}" if found else ""
