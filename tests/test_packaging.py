"""What is published: the wheel and the source archive as hatchling builds them, and what their metadata say."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "bakeoff"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ADDRESS = PROJECT.get("urls", {}).get("Repository")
"""The repository's public address; None while it has none."""

MAX_WHEEL_BYTES = 2_000_000
MAX_SDIST_BYTES = 4_000_000
LEFT_BEHIND = {
    "__pycache__",
    ".venv",
    ".git",
    "runs",
    "site",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
}

DISTRIBUTIONS = {
    "PIL": "pillow",
    "markupsafe": "jinja2",
    "mlflow": "mlflow-skinny",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
"""Imported modules -> the packages that bring them, where the names differ."""

AT_HAND = {"IPython", "model"}
"""Imports that need no package: whoever works in a notebook has IPython; an exported example has model.py beside it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    for tool in ("hatchling", "hatch_fancy_pypi_readme"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"{tool} is not installed: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert names == {path.relative_to(PACKAGE.parent).as_posix() for path in files}
    assert {"bakeoff/py.typed", "bakeoff/studies/quickstart.yaml", "bakeoff/data/digits.npz"} <= names
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_the_wheel_carries_its_licences_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.split(".dist-info/")[1]: name for name in archive.namelist() if ".dist-info/" in name}
        assert {f"licenses/{name}" for name in PROJECT["license-files"]} <= set(inside)
        assert "bakeoff = bakeoff.__main__:run" in archive.read(inside["entry_points.txt"]).decode()


def test_the_wheel_works_in_an_empty_folder_of_a_user_without_a_home(wheel: Path, tmp_path: Path) -> None:
    installed, folder = tmp_path / "installed", tmp_path / "empty"
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    environment = {**os.environ, "PYTHONPATH": str(installed), "HOME": str(folder / "home")}
    program = "import bakeoff.__main__ as main; print(main.__file__, flush=True); main.run()"
    command = [sys.executable, "-P", "-c", program, "plan", "quickstart", "--no-probe"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(str(installed))
    assert "he_normal" in ended.stdout


def test_the_source_archive_holds_what_a_checkout_needs_and_no_caches(built: Path) -> None:
    archive_path = next(built.glob("*.tar.gz"))
    with tarfile.open(archive_path) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
    needed = [
        "pyproject.toml",
        "constraints.txt",
        "NOTICE",
        "LICENSE",
        "CITATION.cff",
        "tests/conftest.py",
        "scripts/test",
    ]
    assert set(map(PurePosixPath, needed)) <= names
    assert not [name for name in names if LEFT_BEHIND & set(name.parts) or name.suffix == ".pyc"]
    assert archive_path.stat().st_size < MAX_SDIST_BYTES


def test_the_page_of_the_package_leads_nowhere_wrong(metadata: Message) -> None:
    targets = re.findall(r"\]\(([^)]*)\)", str(metadata.get_payload()))
    assert not [target for target in targets if not target.startswith(("https://", "http://", "#"))]
    assert not ADDRESS or any(target.startswith(ADDRESS) for target in targets)
    assert str(metadata.get_payload()).startswith("# bakeoff")


def test_the_extra_all_has_every_extra_for_users() -> None:
    (everything,) = EXTRAS["all"]
    assert set(re.findall(r"\w+", everything)) - {"bakeoff"} == set(EXTRAS) - {"all", "dev", "docs"}


def test_every_import_is_declared() -> None:
    declared = {_name(line) for line in PROJECT["dependencies"]}
    declared |= {_name(line) for extra, lines in EXTRAS.items() if extra not in ("dev", "docs") for line in lines}
    modules = {name.partition(".")[0] for path in PACKAGE.rglob("*.py") for name in _imports(path)}
    foreign = modules - sys.stdlib_module_names - AT_HAND
    assert {_normal(DISTRIBUTIONS.get(module, module)) for module in foreign} <= declared


def test_the_conda_recipe_requires_the_same() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text("utf-8"))
    expected = {line.replace(">=", " >=") for line in PROJECT["dependencies"]} | {
        f"python {PROJECT['requires-python']}"
    }
    assert {re.sub("^pytorch ", "torch ", line) for line in recipe["requirements"]["run"]} == expected
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["license_file"] == PROJECT["license-files"]
    assert recipe["build"]["python"]["entry_points"] == [f"bakeoff = {PROJECT['scripts']['bakeoff']}"]


def test_the_image_is_built_from_what_is_there_and_runs_as_an_ordinary_user() -> None:
    text = (ROOT / "packaging" / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    steps = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert [rest for step, rest in steps if step == "USER"] == ["1000"]
    copied = [name for step, rest in steps if step == "COPY" for name in rest.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {"pyproject.toml", "README.md", "src", "LICENSE", "NOTICE"} <= set(copied)
    (install,) = [rest for step, rest in steps if "--index-url" in rest]
    assert re.search(r"--index-url \S+ .* torch torchvision", install)
    assert set(re.findall(r"source=([\w./]+),target=/constraints", install)) == {"constraints.txt"}


def test_one_address_stands_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation.get("repository-code") == ADDRESS
    assert citation["license"] in PROJECT["license"]


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_forms_are_what_github_reads(form: Path) -> None:
    document = yaml.safe_load(form.read_text("utf-8"))
    assert {"name", "description", "body"} <= set(document)
    fields = [field for field in document["body"] if field["type"] != "markdown"]
    assert fields
    assert all(field["type"] in ("input", "textarea", "dropdown", "checkboxes") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_every_dependency_is_described() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    lines = [*PROJECT["dependencies"], *(line for extra, rest in EXTRAS.items() if extra != "dev" for line in rest)]
    names = {_name(line) for line in lines} - {"bakeoff"}
    assert not [name for name in names if name not in _normal(text)]


def _name(requirement: str) -> str:
    return _normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _imports(path: Path) -> list[str]:
    """Return the modules that a file imports, by statement or by a call of `import_module` with a plain text."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found += [part.value for part in node.args[:1] if isinstance(part, ast.Constant)]
    return found
