"""Locates the weights in a training checkpoint: under which key, and averaged or not. No torch.

The file's structure is determined by scanning its pickle opcodes with `pickletools`. Nothing is unpickled.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema")
"""Checkpoint keys of the moving average of the weights: timm's, torchvision's, others'."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "weights", "net", "module", "network")
"""Checkpoint keys of the weights themselves."""

_MARK = object()
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_LEGACY_HEADERS = 3
"""Pickles before that of the tensors in legacy files: magic number, version, system information."""


def find_weights(content: object, average: bool | None) -> tuple[object, bool]:
    """Return the part of a checkpoint that holds the weights by name, and whether they are an average.

    Args:
        content: the file's content.
        average: whether to take the average; None: if there is one.
    """
    is_average = False
    while isinstance(content, Mapping):
        keys = _WRAPPERS if average is False else (*AVERAGES, *_WRAPPERS)
        held = content
        inner = next((key for key in keys if isinstance(held.get(key), Mapping) and held[key]), None)
        if inner is None:
            break
        is_average = is_average or inner in AVERAGES
        content = content[inner]
    return content, is_average


def holds_average(path: Path) -> bool:
    """Return whether a torch.save file holds an average of the weights; False for any other file."""
    try:
        return find_weights(_read_outline(path), None)[1]
    except Exception:  # any problem with the file is reported when its tensors are read
        return False


def _read_outline(path: Path) -> object:
    """Return a file's nested dicts, with None in place of all other values."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            for _ in range(_LEGACY_HEADERS):
                _outline(stream)
            return _outline(stream)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
        if archive.getinfo(name).file_size > path.stat().st_size:
            raise ValueError("it is compressed, which torch.save never does")
        with archive.open(name) as stream:
            return _outline(stream)


def _outline(stream: IO[bytes]) -> object:
    """Return the outline of one pickle: its dicts with their string keys."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for code, argument, _ in pickletools.genops(stream):
        if code.name in _TEXTS:
            stack.append(argument)
        elif code.name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif code.name.endswith("PUT"):
            memo[int(argument or 0)] = stack[-1]
        elif code.name.endswith("GET"):
            stack.append(memo[int(argument or 0)])
        elif code.name in ("SETITEM", "SETITEMS"):
            items = _pop_to_mark(stack) if code.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _set_items(stack[-1], items)
        elif code.name == "BUILD":
            stack.pop()
        elif code.name != "STOP":
            _move(stack, code)
    return stack[-1]


def _set_items(target: object, items: Iterable[Any]) -> None:
    given = iter(items)
    for key, value in zip(given, given, strict=True):
        if isinstance(target, dict) and isinstance(key, str):
            target[key] = value


def _move(stack: list[Any], code: pickletools.OpcodeInfo) -> None:
    """Apply an opcode's effect to the stack; objects other than dicts become empty dicts."""
    if code.name == "MARK":
        stack.append(_MARK)
        return
    taken = list(code.stack_before)
    if pickletools.markobject in taken:
        _pop_to_mark(stack)
        del taken[taken.index(pickletools.markobject) :]
    if taken:
        del stack[-len(taken) :]
    stack += [{} for _ in code.stack_after]


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    start = len(stack) - 1 - stack[::-1].index(_MARK)
    items = stack[start + 1 :]
    del stack[start:]
    return items
