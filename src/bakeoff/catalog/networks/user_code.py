"""User classes and functions, named `package.module:Class`. No torch: the plan hashes their code without running it."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from bakeoff.catalog.networks.code_files import read_code
from bakeoff.errors import UserCodeError

_LOADED: dict[str, str | None] = {}
"""Hashes of the modules imported for user classes in this process, at the time of import."""


def load_class(name: str) -> Callable[[], Any]:
    """Import `package.module` and return its `Class`. This runs the module's code.

    The current folder is searched last, and stays on the path, so that the module can import its neighbours.

    Raises:
        NetworkError: no such module, no such class, or the module cannot be imported; says which.
    """
    module_name, _, class_name = name.partition(":")
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    if module_name not in sys.modules or module_name not in _LOADED:
        _LOADED[module_name] = hash_code(name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = "" if error.name == module_name else f" ({error})"
        raise UserCodeError(
            f"{name}: there is no module {module_name}{missing}: start bakeoff in its folder, or install it."
        ) from error
    except Exception as error:  # any exception of the user's code becomes a one-line error
        raise UserCodeError(f"{name}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    found: object = getattr(module, class_name, None)
    if not callable(found):
        raise UserCodeError(f"{name}: {module_name} has no {class_name}.")
    return found


def hash_code(name: str) -> str | None:
    """Return the SHA-256 (hex) of the code behind `package.module:Class`; None if there is no file. Nothing is run.

    Part of a trial's id: a network with changed code is a different network. The code is the module's file and the
    user's files that it imports (see `code_files.read_code`), except empty files. For a single file it is that file's
    hash.
    """
    hashes = {part: hashlib.sha256(content).hexdigest() for part, content in _read_filled(name)}
    if len(hashes) < 2:
        return next(iter(hashes.values()), None)
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _read_filled(name: str) -> list[tuple[str, bytes]]:
    module_name = name.partition(":")[0]
    found = read_code(module_name)
    if module_name not in found:
        return []
    return [(part, content) for part, content in found.items() if content.strip() or part == module_name]


def check_loaded(name: str, expected: str | None) -> None:
    """Check that this process runs the code that is part of a trial's id.

    Raises:
        NetworkError: the code differs, or cannot be imported.
    """
    load_class(name)
    if expected is not None and _LOADED[name.partition(":")[0]] != expected:
        raise UserCodeError(
            f"{name}: the code differs from that at the start of the run: it has been changed, or a different "
            "module of this name comes first on this worker's path. Run the study again."
        )


def hash_loaded(name: str) -> str | None:
    """Return the hash of the code that this process runs under a name, importing it if necessary.

    Raises:
        NetworkError: it cannot be imported.
    """
    load_class(name)
    return _LOADED[name.partition(":")[0]]


class CodeHashes(dict[str, str | None]):
    """Hashes of user code by `package.module:Class`, each computed once: a run uses the same code throughout."""

    def __missing__(self, name: str) -> str | None:
        self[name] = hash_code(name)
        return self[name]
