"""Checks that people can distinguish the names of studies, blocks, arms, templates and ensembles.

Two names that look the same would be two arms to bakeoff, but one to the reader of a verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bakeoff.errors import UNCLEAR_NAME
from bakeoff.study.axes import Fault, is_field_axis, make_label
from bakeoff.study.explain import Path, shorten

_BLANK_CATEGORIES = {"Cc", "Zl", "Zp", "Zs"}
_INVISIBLE_CATEGORIES = _BLANK_CATEGORIES | {"Cf", "Cs"}
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that are drawn as nothing or as a blank, although their category is letter, mark or symbol."""


def check_names(study: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the errors in a study's names: names that look like another one, or have invisible parts.

    Args:
        study: as given, with plain names.
    """
    yield from _check_name(("name",), study.get("name"))
    for section in ("blocks", "arms"):
        axes = study.get(section)
        for number, axis in enumerate(axes if isinstance(axes, Sequence) and not isinstance(axes, str) else ()):
            if isinstance(axis, Mapping):
                yield from _check_axis((section, number), axis)
    for section in ("ensembles", "groups"):
        named = study.get(section)
        for name in named if isinstance(named, Mapping) else ():
            yield from _check_name((section, name), name)


def _check_axis(place: Path, axis: Mapping[str, Any]) -> Iterator[Fault]:
    if not is_field_axis(axis):
        for name in axis:
            yield from _check_name((*place, name), name)
        return
    ((field, values),) = axis.items()
    seen: dict[str, str] = {}
    for position, value in enumerate(values):
        label = make_label(value)
        other = seen.setdefault(_normalize(label), label)
        if other != label:
            message = f"{label!a} looks like {other!a}: make one of them a case with another name"
            yield Fault((*place, field, position), message, UNCLEAR_NAME)


def _check_name(place: Path, name: object) -> Iterator[Fault]:
    if not isinstance(name, str):
        return
    invisible = next((character for character in name if _is_invisible(character)), None)
    if invisible is not None:
        called = unicodedata.name(invisible, "a control character")
        message = f"{shorten(name)} contains U+{ord(invisible):04X} ({called}), which is invisible: leave it out"
        yield Fault(place, message, UNCLEAR_NAME)
    elif name != name.strip() or "  " in name:
        message = f"{shorten(name)} has invisible blanks: remove those at its ends, and all but one inside"
        yield Fault(place, message, UNCLEAR_NAME)
    elif name != unicodedata.normalize("NFC", name):
        message = f"{name!a} has accents as separate characters: write {unicodedata.normalize('NFC', name)!a}"
        yield Fault(place, message, UNCLEAR_NAME)


def _is_invisible(character: str) -> bool:
    if character == " " or (character.isalnum() and character.isascii()):
        return False
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or bool(_INVISIBLE.match(character))


def _normalize(label: str) -> str:
    """Return a name as it looks: composed, with single blanks, without invisible characters."""
    spaced = "".join(" " if unicodedata.category(each) in _BLANK_CATEGORIES else each for each in label)
    shown = "".join(each for each in spaced if not _is_invisible(each))
    return unicodedata.normalize("NFC", " ".join(shown.split()))
