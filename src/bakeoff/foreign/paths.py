"""Paths of runs as columns: what tells runs apart often stands only in the names of their folders and files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bakeoff.foreign.reading import parse_text
from bakeoff.foreign.table import Value

_WORDS = "seed|run|repeat|replicate|replica|rep|trial|fold|split"
_SETTING = r"([A-Za-z][A-Za-z.]*(?:_[A-Za-z.]+)*)=([^=]+?)"
_SETTINGS = re.compile(rf"(?:(?P<name>[^=]*?)[-_,; ]+)??(?P<settings>{_SETTING}(?:[-_,; ]+{_SETTING})*)")
_NEXT_SETTING = re.compile(rf"{_SETTING}(?:$|[-_,; ]+(?=[A-Za-z][A-Za-z._]*=))")
_WORD_LAST = re.compile(rf"(?:(?P<name>.*?[^-_. ])[-_. ]*[-_. ])??(?P<word>{_WORDS})[-_. ]?(?P<number>\d+)", re.I)
_WORD_FIRST = re.compile(rf"(?P<word>{_WORDS})[-_. ]?(?P<number>\d+)[-_. ]+(?P<name>.+)", re.I)
_NUMBER_LAST = re.compile(r"(?P<name>.*?[^-_. ])[-_. ](?P<word>s?)(?P<number>\d+)")


@dataclass(frozen=True)
class Piece:
    """A part of a path, split.

    Attributes:
        values: name and numbers, in the order that they become columns.
        named: those that the part itself names: {"seed": 3}.
    """

    values: tuple[Value, ...]
    named: Mapping[str, Value] = field(default_factory=dict)


def make_path_columns(paths: Sequence[tuple[str, ...]]) -> list[dict[str, Value]]:
    """Return the columns of each run's path: `path.1`, ..., without the parts that all share, and those that it names.

    `adam_seed3` becomes `path.1` = adam, `path.2` = 3 and `seed` = 3 if all runs' parts in that place are alike.
    """
    columns: list[dict[str, Value]] = [{} for _ in paths]
    number = 0
    for level in range(max(map(len, paths), default=0)):
        parts = [path[level] if level < len(path) else None for path in paths]
        pieces = split_parts(parts)
        for place in range(max(len(piece.values) for piece in pieces)):
            values = [piece.values[place] if place < len(piece.values) else None for piece in pieces]
            if len(set(values)) > 1:
                number += 1
                for row, value in zip(columns, _agree(values), strict=True):
                    if value is not None:
                        row[f"path.{number}"] = value
        for row, piece in zip(columns, pieces, strict=True):
            row.update({key: value for key, value in piece.named.items() if key not in row})
    return columns


def split_parts(parts: Sequence[str | None]) -> list[Piece]:
    """Return the parts of all runs in one place, split if they are all alike and mean one thing; else as they are."""
    whole = [Piece(()) if part is None else Piece((parse_text(part) if part.isdigit() else part,)) for part in parts]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len(set(known)) < 2:
        return whole
    return _split_settings(known) or _split_words(known) or _split_numbers(known) or whole


def _agree(values: Sequence[Value]) -> Sequence[Value]:
    """Return numbers as text where others of the same column are text."""
    if any(isinstance(value, str) for value in values):
        return [None if value is None else str(value) for value in values]
    return values


def _split_settings(parts: Sequence[str]) -> list[Piece] | None:
    """Split lr=0.1,seed=3, also after a name: adam,seed=3 and adam_seed=3."""
    found = [match for part in parts if (match := _SETTINGS.fullmatch(part))]
    if len(found) < len(parts):
        return None
    settings = [_NEXT_SETTING.findall(match["settings"]) for match in found]
    names = [match["name"] or "" for match in found]
    if len({tuple(key for key, _ in pairs) for pairs in settings}) > 1:
        # adam_seed and sgd_seed are names before the key they share; batch_size in all is a key.
        heads = [pairs[0][0].rpartition("_") for pairs in settings]
        names = [name or head[0] for name, head in zip(names, heads, strict=True)]
        settings = [[(head[2], pairs[0][1]), *pairs[1:]] for pairs, head in zip(settings, heads, strict=True)]
    named = [{key: parse_text(value) for key, value in pairs} for pairs in settings]
    is_alike = len({(bool(name), *keys) for name, keys in zip(names, named, strict=True)}) == 1
    if not is_alike:
        return None
    return [Piece(((name,) if name else ()) + (*keys.values(),), keys) for name, keys in zip(names, named, strict=True)]


def _split_words(parts: Sequence[str]) -> list[Piece] | None:
    """Split adam_seed3 and seed3_adam."""
    for pattern in (_WORD_LAST, _WORD_FIRST):
        found = [match for part in parts if (match := pattern.fullmatch(part))]
        words = {match["word"].lower() for match in found}
        if len(found) == len(parts) and len(words) == 1 and len({match["name"] is None for match in found}) == 1:
            word = words.pop()
            numbers = [int(match["number"][:18]) for match in found]
            names = [() if match["name"] is None else (match["name"],) for match in found]
            return [Piece((*name, number), {word: number}) for name, number in zip(names, numbers, strict=True)]
    return None


def _split_numbers(parts: Sequence[str]) -> list[Piece] | None:
    """Split adam_3 and adam_s3 if all names have the same two or more numbers: resnet_18 and resnet_34 stay."""
    numbers = defaultdict(set)
    found = [match for part in parts if (match := _NUMBER_LAST.fullmatch(part))]
    for match in found:
        numbers[match["name"]].add((match["word"], match["number"]))
    sets = list(numbers.values())
    if len(found) < len(parts) or len(sets) < 2 or len(sets[0]) < 2 or any(other != sets[0] for other in sets):
        return None
    are_seeds = all(match["word"] for match in found)
    pairs = [(match["name"], int(match["number"][:18])) for match in found]
    return [Piece(pair, {"seed": pair[1]} if are_seeds else {}) for pair in pairs]
