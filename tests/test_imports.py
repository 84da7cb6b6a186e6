"""Imports flow one way, and what a laptop without torch needs never imports it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"

# Low to high; a package imports only from lower ones. Those in one group do not import each other.
LAYERS = (
    {"system"},
    {"errors", "explanations", "extras", "streams", "cgroups"},
    {"registry"},
    {"stats"},
    {"catalog"},
    {"data"},
    {"workspace", "messages"},
    {"study", "studies"},
    {"ledger", "foreign"},
    {"search"},
    {"engine"},
    {"driver"},
    {"report", "trackers"},
    {"deploy"},
    {"serve"},
    {"api", "judging"},
    {"testing"},
    {"cli"},
    {"__main__"},
)
LOW = {"stats"}

# In these torch may be imported; everywhere else, not even inside a function.
TORCH_PACKAGES = {"engine", "driver", "testing"}

# Importing these must import neither torch nor scikit-learn, however deep.
LIGHT_PACKAGES = (
    "api",
    "catalog",
    "cli",
    "data",
    "deploy",
    "driver",
    "errors",
    "foreign",
    "ledger",
    "messages",
    "report",
    "search",
    "serve",
    "stats",
    "study",
    "trackers",
    "workspace",
)
LIGHT_MODULES = ("bakeoff",)
HEAVY = {"torch", "torchvision", "timm", "sklearn"}


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands, and whether it runs when the module is imported."""

    target: str
    line: int
    at_import: bool


def parse_imports(source: str) -> Iterator[Import]:
    """Yield all that a module imports, `from x import y` as x.y; blocks under TYPE_CHECKING never run."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield Import(f"{node.module}.{name.name}", node.lineno, at_import)
        inside = at_import and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inside = False
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(source), at_import=True)


def name_modules() -> dict[str, Path]:
    """Return every module of bakeoff by its dotted name."""
    names = {}
    for path in sorted((SOURCE / "bakeoff").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = name_modules()
IMPORTS = {module: tuple(parse_imports(path.read_text("utf-8"))) for module, path in MODULES.items()}


def package_of(module: str) -> str:
    """Return the room a module lives in: `bakeoff.data.idx` -> `data`; "" for bakeoff itself."""
    return module.split(".")[1] if "." in module else ""


def level_of(package: str) -> int:
    return next(number for number, packages in enumerate(LAYERS) if package in packages)


def resolve(target: str) -> str | None:
    """Return the bakeoff module that an imported name is, or lies in."""
    while target and target not in MODULES:
        target = target.rpartition(".")[0]
    return target or None


def with_parents(module: str) -> Iterator[str]:
    """Yield a module and the packages that Python imports before it."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def find_heavy_import(module: str, seen: set[str], heavy: Set[str] = HEAVY) -> str | None:
    """Return "a -> b -> torch" when importing `module` imports a heavy package, else None."""
    for name in with_parents(module):
        if name in seen:
            continue
        seen.add(name)
        for found in (imported for imported in IMPORTS[name] if imported.at_import):
            root, inner = found.target.partition(".")[0], resolve(found.target)
            if heavy & {root, package_of(inner or "")}:
                return f"{name}:{found.line} -> {inner or root}"
            below = find_heavy_import(inner, seen, heavy) if inner else None
            if below:
                return f"{name}:{found.line} -> {below}"
    return None


def test_every_room_has_its_place() -> None:
    rooms = {package_of(module) for module in MODULES} - {""}
    assert rooms <= set().union(*LAYERS), "a new package needs a place in LAYERS"


@pytest.mark.parametrize("module", [module for module in MODULES if package_of(module)])
def test_imports_flow_one_way(module: str) -> None:
    own = package_of(module)
    for found in IMPORTS[module]:
        inner = resolve(found.target)
        other = package_of(inner) if inner else ""
        if not other or other == own:
            continue
        place = f"{MODULES[module].relative_to(SOURCE)}:{found.line} imports {inner}"
        assert level_of(other) < level_of(own), f"{place}: {own} is below or beside {other}"
        assert own not in LOW or other in {"errors", "registry"}, f"{place}: {own} imports only errors and registry"


@pytest.mark.parametrize("module", MODULES)
def test_torch_stays_where_it_is_allowed(module: str) -> None:
    if package_of(module) in TORCH_PACKAGES:
        return
    lines = [found.line for found in IMPORTS[module] if found.target.partition(".")[0] in {"torch", "torchvision"}]
    assert not lines, f"{MODULES[module].relative_to(SOURCE)} imports torch on line {lines}"


@pytest.mark.parametrize(
    "module", [m for m in MODULES if package_of(m) in LIGHT_PACKAGES] + [m for m in LIGHT_MODULES if m in MODULES]
)
def test_importing_needs_no_torch(module: str) -> None:
    assert find_heavy_import(module, set()) is None


def test_status_needs_nothing_that_a_study_can_name() -> None:
    """Building all settings takes four times as long as what it prints."""
    assert find_heavy_import("bakeoff.report.status", set(), {"study", "pydantic", "scipy"}) is None
    assert find_heavy_import("bakeoff.api", set(), {"study"}) is not None


def test_the_rules_see_a_breach() -> None:
    source = "import torch\nif TYPE_CHECKING:\n    import a\ndef f():\n    from b import c\nclass D:\n    import e\n"
    assert [(found.target, found.at_import) for found in parse_imports(source)] == [
        ("torch", True),
        ("a", False),
        ("b.c", False),
        ("e", True),
    ]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", *sys.argv[1:]]))
