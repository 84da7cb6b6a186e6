"""Classes of the user's own, named `package.module:Class`. No torch: the plan hashes their code without running it."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from bakeoff.errors import NetworkError
from bakeoff.networks.code_files import read_code

_LOADED: dict[str, str | None] = {}
"""Hashes of the modules this process has imported for users' classes, as their files were then."""


def load_class(name: str) -> Callable[[], Any]:
    """Import `package.module` and return its `Class`. This runs the module's code.

    The folder bakeoff was started in is searched last, and stays on the path, so that the module finds its neighbours.

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
        raise NetworkError(
            f"{name}: there is no module {module_name}{missing}: start bakeoff in the folder it lies in, or install it."
        ) from error
    except Exception as error:  # whatever the user's code raises is the user's to read, in one line
        raise NetworkError(f"{name}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    found: object = getattr(module, class_name, None)
    if not callable(found):
        raise NetworkError(f"{name}: {module_name} has no class {class_name}.")
    return found


def hash_code(name: str) -> str | None:
    """Return the SHA-256 (hex) of the code behind `package.module:Class`; None where there is no file. Nothing is run.

    A part of a trial's identity: a network whose code changed is another network. The code is the module's file and
    those of the user's own that it imports (`code_files.read_code` says which); empty files do not count. A single file
    has its own hash.
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
    """Refuse to go on where this process runs other code than a trial's identity says.

    Raises:
        NetworkError: the code is another, or cannot be imported.
    """
    load_class(name)
    if expected is not None and _LOADED[name.partition(":")[0]] != expected:
        raise NetworkError(
            f"{name}: this worker found other code than the study began with: it was changed meanwhile, or another "
            "module of this name comes first here. Run the study again."
        )


def hash_loaded(name: str) -> str | None:
    """Return the hash of the code that this process runs under a name, importing it where it has not been.

    Raises:
        NetworkError: it cannot be imported.
    """
    load_class(name)
    return _LOADED[name.partition(":")[0]]


class CodeHashes(dict[str, str | None]):
    """Hashes of users' code by `package.module:Class`, each taken once: a run is of one code from start to end."""

    def __missing__(self, name: str) -> str | None:
        self[name] = hash_code(name)
        return self[name]
