"""The reference of the Python API: the exported names, in groups, as directives of mkdocstrings."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isclass

import bakeoff


def write() -> str:
    """Return a directive for every exported name: functions, then classes, then errors."""
    return "\n\n".join(_list_parts())


def _list_parts() -> Iterator[str]:
    names = [name for name in bakeoff.__all__ if not name.startswith("__")]
    errors = [name for name in names if name.endswith("Error")]
    classes = [name for name in names if isclass(getattr(bakeoff, name)) and name not in errors]
    functions = [name for name in names if name not in (*classes, *errors)]
    for title, group in (("Functions", functions), ("Classes", classes), ("Errors", errors)):
        yield f"## {title}"
        yield from map(_write_directive, group)


def _write_directive(name: str) -> str:
    home = getattr(bakeoff, name).__module__
    return f'::: {home}.{name}\n    options:\n      heading: "bakeoff.{name}"\n      toc_label: "{name}"'
