"""Finds the user's files that importing a module would load, by reading them. Nothing is run. No torch."""

from __future__ import annotations

import ast
import os
import pkgutil
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path

LIBRARIES = frozenset({"bakeoff", "torch", "torchvision", "timm", "numpy", "scipy", "PIL"})
"""Never followed, wherever they are installed, because their versions are recorded."""

_IMPORTING_CALLS = ("import_module", "__import__")


def read_code(module_name: str) -> dict[str, bytes]:
    """Return the content of every file that importing a module would load, by module name; empty if there is none.

    This covers the surrounding packages and everything they import from the user's own folders, also inside functions:
    absolute and relative imports, `importlib.import_module` with a literal name (for a computed name, all modules in
    the same folder), compiled extensions. It does not cover installed packages (except the one that contains the
    module), the standard library, or files that code opens as data.
    """
    own = module_name.partition(".")[0]
    found: dict[str, bytes] = {}
    waiting, seen = [module_name], set[str]()
    finder = _Finder()
    while waiting:
        for name in _list_with_parents(waiting.pop()):
            if name in seen:
                continue
            seen.add(name)
            spec = finder.find(name)
            if spec is None or not _is_followed(name, spec, own, module_name):
                continue
            content = _read(spec)
            if content is not None:
                found[name] = content
                waiting += _list_imports(content, name, spec)
    return found


class _Finder:
    """Finds modules' files step by step; importlib's own search would import the surrounding packages."""

    def __init__(self) -> None:
        self._found: dict[str, ModuleSpec | None] = {}
        self._folders = [*sys.path, os.getcwd()]

    def find(self, name: str) -> ModuleSpec | None:
        """Return a module's spec, or None."""
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> ModuleSpec | None:
        parent, _, last = name.rpartition(".")
        if not parent:
            return None if name in sys.builtin_module_names else _search_top(name, self._folders)
        above = self.find(parent)
        locations = None if above is None else above.submodule_search_locations
        return None if locations is None else PathFinder.find_spec(last, list(locations))


def _search_top(name: str, folders: list[str]) -> ModuleSpec | None:
    spec = PathFinder.find_spec(name, folders)
    if spec is not None:
        return spec
    # Editable installs may have their own finder.
    finders = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_spec")]
    found = (finder.find_spec(name, None) for finder in finders)
    return next((spec for spec in found if spec is not None), None)


def _list_with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: number + 1]) for number in range(len(parts))]


def _is_followed(name: str, spec: ModuleSpec, own: str, module_name: str) -> bool:
    top = name.partition(".")[0]
    if top in LIBRARIES:
        return name == module_name
    return top == own or not _is_installed(spec)


def _is_installed(spec: ModuleSpec) -> bool:
    if not spec.has_location and spec.submodule_search_locations is None:
        return True  # built in or frozen
    places = [spec.origin] if spec.has_location and spec.origin else [*(spec.submodule_search_locations or ())]
    return any(Path(place).resolve().is_relative_to(folder) for place in places for folder in _list_installed())


@cache
def _list_installed() -> tuple[Path, ...]:
    """Return the folders of the standard library and of installed packages."""
    paths = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(path).resolve() for path in dict.fromkeys(paths))


def _read(spec: ModuleSpec) -> bytes | None:
    """Return a module's file, which may be in an archive; None if it has none."""
    read = getattr(spec.loader, "get_data", None)
    if read is None or spec.origin is None or not spec.has_location:
        return None
    try:
        content: bytes = read(spec.origin)
    except OSError:
        return None
    return content


def _list_imports(content: bytes, name: str, spec: ModuleSpec) -> Iterator[str]:
    """Yield what a file may import, by full name; some of these are not modules but names inside one."""
    if not str(spec.origin).endswith(tuple(SOURCE_SUFFIXES)):
        return
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return  # the worker that imports it reports the error
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _resolve("." * node.level + (node.module or ""), package)
            yield from filter(None, (base, *(f"{base}.{alias.name}" for alias in node.names if base)))
        elif isinstance(node, ast.Call) and _name_function(node.func) in _IMPORTING_CALLS:
            yield from _list_called(node, package, spec)
        elif isinstance(node, ast.Assign) and any(_name_function(target) == "__all__" for target in node.targets):
            # `from package import *` imports the modules that its __all__ names.
            parts = (part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant))
            yield from (f"{package}.{part}" for part in parts if isinstance(part, str))


def _resolve(written: str, package: str) -> str:
    """Return the full name of an imported module; empty if it leads out of the package."""
    level = len(written) - len(written.lstrip("."))
    if not level:
        return written
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join(filter(None, [*parts[: len(parts) - level + 1], written.lstrip(".")]))


def _list_called(call: ast.Call, package: str, spec: ModuleSpec) -> Iterator[str]:
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield _resolve(first.value, package)
        return
    beside = pkgutil.iter_modules([os.path.dirname(str(spec.origin))])
    yield from (f"{package}.{module.name}".lstrip(".") for module in beside)


def _name_function(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
