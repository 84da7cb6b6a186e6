"""Classes of the user's own, named `package.module:Class`. No torch: the plan hashes their code without running it."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from bakeoff.errors import NetworkError


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
    """Return the SHA-256 (hex) of the file that holds the module, without importing it; None where there is no file.

    A part of a trial's identity: a network whose code changed is another network. Files that the module itself imports
    are not followed.
    """
    spec = _find_spec(name.partition(":")[0])
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    try:
        return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
    except OSError:
        return None


def _find_spec(module_name: str) -> ModuleSpec | None:
    """Find a module's file step by step; importlib's own search would import the packages around it."""
    folders: list[str] | None = [*sys.path, os.getcwd()]
    spec = None
    for number in range(len(module_name.split("."))):
        if folders is None:
            return None
        part = ".".join(module_name.split(".")[: number + 1])
        spec = PathFinder.find_spec(part, folders)
        if spec is None:
            return None
        found = spec.submodule_search_locations
        folders = None if found is None else list(found)
    return spec
