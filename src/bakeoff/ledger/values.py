"""Checks cells read from a ledger: SQLite stores any type in any column, and files get damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from bakeoff.errors import LedgerError

_Item = TypeVar("_Item", int, str)

_KINDS: Mapping[str, tuple[type, ...]] = {
    "t": (str,),
    "T": (str, type(None)),
    "i": (int,),
    "I": (int, type(None)),
    "b": (int,),
    "n": (int, float),
    "N": (int, float, type(None)),
}
"""By letter: text, integer, number; a capital letter also allows NULL."""

_FACTS: Mapping[str, type] = {"class_names": list, "shape_HWC": list, "notes": list, "num_images": int}


class DamagedLedger(LedgerError):
    """A ledger holds something that bakeoff never writes."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the ledger is damaged: it contains {found}. Restore it from a copy, or choose another workspace with "
            "--workspace DIR."
        )


def check_row(row: Sequence[Any] | None, kinds: str) -> Sequence[Any]:
    """Return a row whose cells are of these kinds, a letter of `_KINDS` each.

    Raises:
        DamagedLedger: they are not, or there is no row.
    """
    if row is None:
        raise DamagedLedger("no row where one is required")
    for value, kind in zip(row, kinds, strict=True):
        if not isinstance(value, _KINDS[kind]):
            raise DamagedLedger(f"{type(value).__name__} {_show(value)} where another type is required")
    return row


def read_mapping(text: object) -> Mapping[str, Any]:
    """Return a JSON object.

    Raises:
        DamagedLedger: the text is not one.
    """
    value = _parse(text)
    if not isinstance(value, dict):
        raise DamagedLedger(f"{_show(text)} instead of a JSON object")
    return value


def read_numbers(text: object) -> dict[str, float]:
    """Return finite numbers by name."""
    return _check_numbers(read_mapping(text), text)


def read_splits(text: object) -> dict[str, dict[str, float]]:
    """Return finite numbers by name, by split."""
    return {split: _check_numbers(numbers, text) for split, numbers in read_mapping(text).items()}


def read_list(text: object, kind: type[_Item]) -> tuple[_Item, ...]:
    """Return a JSON list of one kind of items."""
    value = _parse(text)
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise DamagedLedger(f"{_show(text)} instead of a list")
    return tuple(value)


def read_facts(text: object) -> Mapping[str, Mapping[str, Any]]:
    """Return the facts about images, by block."""
    facts = read_mapping(text)
    for block in facts.values():
        if not _is_fact(block):
            raise DamagedLedger(f"{_show(block)} instead of facts about images")
    return facts


def _is_fact(block: object) -> bool:
    if not isinstance(block, dict) or "class_names" not in block:
        return False
    if any(name in block and not isinstance(block[name], kind) for name, kind in _FACTS.items()):
        return False
    texts, sizes = [*block["class_names"], *block.get("notes", ())], block.get("shape_HWC", ())
    return all(isinstance(each, str) for each in texts) and all(isinstance(each, int) for each in sizes)


def _check_numbers(value: object, text: object) -> dict[str, float]:
    numbers: dict[str, Any] = value if isinstance(value, dict) else {"": None}
    for number in numbers.values():
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise DamagedLedger(f"{_show(text)} instead of numbers by name")
    return numbers


def _parse(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
