"""Names that people tell apart: of studies, blocks, arms, templates and ensembles.

Two names that look the same are two arms to bakeoff and one to whoever reads the verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bakeoff.study.axes import Fault, is_field_axis, make_label
from bakeoff.study.explain import Path, shorten

_BLANK_CATEGORIES = {"Cc", "Zl", "Zp", "Zs"}
_INVISIBLE_CATEGORIES = _BLANK_CATEGORIES | {"Cf", "Cs"}
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What is drawn as nothing or as a blank although its category is that of letters, marks or symbols."""


def check_names(study: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the names that a study gives: those that look like another, or like less than they are.

    Args:
        study: as it was given, plain where it is read here.
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
        other = seen.setdefault(_look(label), label)
        if other != label:
            message = f"{label!a} looks like {other!a}: give one of them another name, as a case"
            yield (*place, field, position), message


def _check_name(place: Path, name: object) -> Iterator[Fault]:
    if not isinstance(name, str):
        return
    invisible = next((character for character in name if _is_invisible(character)), None)
    if invisible is not None:
        called = unicodedata.name(invisible, "a control character")
        yield place, f"{shorten(name)} holds U+{ord(invisible):04X} ({called}), which nobody sees: leave it out"
    elif name != name.strip() or "  " in name:
        yield place, f"{shorten(name)} holds blanks that nobody sees: at its ends none, inside one at a time"
    elif name != unicodedata.normalize("NFC", name):
        yield (
            place,
            f"{name!a} spells letters and their accents apart: write {unicodedata.normalize('NFC', name)!a}",
        )


def _is_invisible(character: str) -> bool:
    if character == " " or (character.isalnum() and character.isascii()):
        return False
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or bool(_INVISIBLE.match(character))


def _look(label: str) -> str:
    """Return a name as the eye takes it: composed, one blank for any, without what is not drawn."""
    spaced = "".join(" " if unicodedata.category(each) in _BLANK_CATEGORIES else each for each in label)
    shown = "".join(each for each in spaced if not _is_invisible(each))
    return unicodedata.normalize("NFC", " ".join(shown.split()))
