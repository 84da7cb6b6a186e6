"""Small JSON files in the cache: measurements of this machine and answers of packages, which can be made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from bakeoff.errors import StorageError
from bakeoff.workspace import write_whole

Value = TypeVar("Value")


def read_cached(path: Path, make: Callable[[Any], Value]) -> Value | None:
    """Return what `make` makes of a file's content; None if the file is missing, unreadable or damaged.

    Args:
        path: path of the file.
        make: called with the parsed JSON; raises ValueError, TypeError, KeyError or AttributeError if it is unusable.
    """
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def write_cached(path: Path, content: object) -> None:
    """Write a file as JSON; if the disk does not allow it, the content is made again next time."""
    with suppress(OSError, StorageError):
        write_whole(path, lambda temporary: temporary.write_text(json.dumps(content), encoding="utf-8"))
