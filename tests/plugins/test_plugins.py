"""Adding entries of every kind from another package: the template in examples/plugin is built, installed and used."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from bakeoff import registry
from bakeoff.catalog.choices import make_literal
from bakeoff.catalog.metric import improvement
from bakeoff.catalog.optimizers import OPTIMIZERS, OptimizerRecord
from bakeoff.errors import BakeoffError
from bakeoff.registry import Origin, PluginError, Registry, bind
from bakeoff.testing.packages import CHECKS

SOURCE = Path(registry.__file__).parents[1]
TEMPLATE = Path(__file__).parents[2] / "examples" / "plugin"
PROJECT = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGE, VERSION = PROJECT["name"], PROJECT["version"]
ADDED = {group.removeprefix("bakeoff."): list(names) for group, names in PROJECT["entry-points"].items()}
NAMED_BY_COMMANDS = ("observers", "importers", "sections")
"""Kinds that no study file names."""

READ_ONLY = """
import json, sys
import bakeoff.study.schema
assert not any(name.startswith("example_plugin") for name in sys.modules)
from bakeoff.cli import app
for command in (["schema"], ["list", "optimizers", "--json"], ["list", "optimizers", "sign_sgd", "--json"]):
    app(command, standalone_mode=False)
    print("---")
assert "example_plugin.optimizer" in sys.modules
assert "example_plugin.in_torch" not in sys.modules and "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the template, installed from its wheel into a fresh environment in it.

    The environment also has the packages of the one that runs this test, so nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(TEMPLATE, folder / "copy", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    python = folder / "env" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"{SOURCE}\n{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder]
    run(*pip, *wheel, folder / "copy", cwd=folder)
    (built,) = folder.glob("*.whl")
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", "--no-index", built, cwd=folder)
    return folder


def run(*command: object, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**kept, "BAKEOFF_CACHE": str(cwd / "cache"), "OMP_NUM_THREADS": "1"}
    line = [str(each) for each in command]
    done = subprocess.run(line, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr + done.stdout
    return done


def start(folder: Path, *arguments: object) -> str:
    return run(folder / "env" / "bin" / "python", *arguments, cwd=folder).stdout


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    command = ["-m", "bakeoff", "run", "copy/study.yaml", "--workers", "1", "--observer", "diary", "--json"]
    found: dict[str, Any] = json.loads(start(folder, *command))
    return found


@pytest.fixture(scope="module")
def ledger(document: dict[str, Any], folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "runs" / "ledger.sqlite")


def test_the_template_has_one_entry_of_every_kind() -> None:
    assert {kind: len(names) for kind, names in ADDED.items()} == dict.fromkeys(CHECKS, 1)


def test_its_own_tests_pass(folder: Path) -> None:
    told = start(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "copy/tests")
    assert f"{len(ADDED)} passed" in told


def test_lists_and_the_schema_have_it_and_import_it_late(folder: Path) -> None:
    schema, optimizers, settings = start(folder, "-c", READ_ONLY).split("---\n")[:3]
    assert all(f'"{names[0]}"' in schema for kind, names in ADDED.items() if kind not in NAMED_BY_COMMANDS)
    assert "sign_sgd" in [row["name"] for row in json.loads(optimizers)]
    (row,) = json.loads(settings)
    assert row["name"] == "learning_rate"
    assert row["summary"].startswith("Step size.")


def test_all_kinds_train_to_a_verdict(document: dict[str, Any], ledger: sqlite3.Connection) -> None:
    assert document["state"] == "done"
    assert {each["arm"] for each in document["lengths"]} == {"default", "winner"}
    metrics = [json.loads(row[0]) for row in ledger.execute("SELECT metrics FROM trials")]
    assert metrics
    assert all("brier_score" in each["validation"] for each in metrics)


def test_trials_and_reports_are_of_the_packages_version(document: dict[str, Any], ledger: sqlite3.Connection) -> None:
    contents = [json.loads(row[0]) for row in ledger.execute("SELECT content FROM trials")]
    assert [content["packages"] for content in contents] == [{PACKAGE: VERSION}] * len(contents)
    assert document["versions"][PACKAGE] == VERSION
    assert "torch" in document["versions"]


def test_a_metric_that_should_fall_is_let_fall(document: dict[str, Any], ledger: sqlite3.Connection) -> None:
    rows = ledger.execute("SELECT scores, is_winner FROM candidates").fetchall()
    scores = {bool(is_winner): json.loads(text)["brier_score"] for text, is_winner in rows}
    assert scores[True] == min(scores.values())
    assert improvement("loss", 0.1, 0.2) > 0


def test_an_observer_is_told(document: dict[str, Any], folder: Path) -> None:
    lines = (folder / "diary.txt").read_text().splitlines()
    assert lines.count("winner done") == 2
    assert "start" in lines


def test_a_report_without_the_package_names_what_to_install(document: dict[str, Any], folder: Path) -> None:
    bare = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from bakeoff.__main__ import run; sys.exit(run())",
    ]
    done = run(*bare, "report", "study", "--workspace", folder / "runs", cwd=folder, status=2)
    assert done.stderr.count("\n") == 1
    assert all(f"'{names[0]}'" in done.stderr for kind, names in ADDED.items() if kind not in NAMED_BY_COMMANDS)
    assert f"install {PACKAGE} {VERSION}" in done.stderr


class Distribution:
    name, version = "extra", "0.3"


def add(monkeypatch: pytest.MonkeyPatch, name: str, entry: object, count: int = 1) -> Registry[OptimizerRecord]:
    class Point(EntryPoint):
        dist = Distribution  # type: ignore[assignment]

        def load(self) -> Any:
            if isinstance(entry, Exception):
                raise entry
            return entry

    points = [Point(name, "extra:ENTRY", "bakeoff.optimizers") for _ in range(count)]
    monkeypatch.setattr(registry, "list_entry_points", lambda group: points)
    return Registry("optimizer", OPTIMIZERS.own, "bakeoff.optimizers")


def entry(name: str, called: str | None = None) -> OptimizerRecord:
    sgd = OPTIMIZERS.own[0]
    settings = create_model("Mine", __base__=sgd.settings, name=(make_literal([called or name]), called or name))
    return OptimizerRecord(name, "steps", "nobody", settings, make=sgd.make)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mine", ImportError("no module named\nx"), "cannot be loaded: ImportError: no module named x"),
        ("mine", 3, "extra:ENTRY is of type int, not OptimizerRecord"),
        ("mine", entry("yours"), "the entry point 'mine' is an entry named 'yours'"),
        ("mine", entry("mine", "yours"), 'Mine is told by its name: write name: Literal["mine"] = "mine"'),
        ("adam", entry("adam"), "adds 'adam', a name that bakeoff itself has already"),
    ],
)
def test_what_cannot_be_used_names_its_package_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        _ = add(monkeypatch, name, value).names
    assert str(caught.value).startswith("the installed package extra 0.3 (bakeoff.optimizers)")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_packages_may_not_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r" extra .* name .*extra 0\.3"):
        _ = add(monkeypatch, "mine", entry("mine"), count=2).names


def test_ours_come_first_and_have_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = add(monkeypatch, "mine", entry("mine"))
    assert found.names == (*(record.name for record in OPTIMIZERS.own), "mine")
    assert found.find_origin("mine") == Origin("extra", "0.3")
    assert found.find_origin("adam") is None
    with pytest.raises(BakeoffError, match=r"^unknown optimizer 'mina'.*sgd, .*, mine\..*'mine'"):
        found.find("mina")


def test_an_implementation_is_imported_or_called() -> None:
    assert bind("math:sqrt")(9) == 3
    assert bind(len) is len
    with pytest.raises(PluginError, match=r"^math:sqroot .*AttributeError"):
        bind("math:sqroot")
