"""Every error that a user can see has a code, and every code is explained."""

from __future__ import annotations

import ast
import importlib
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bakeoff
from bakeoff import cli, errors
from bakeoff.errors import BakeoffError, ImagesNotFoundError, Problem, StudyError
from bakeoff.explanations import EXPLANATIONS
from bakeoff.explanations.page import write_page

SOURCE = Path(bakeoff.__file__).parent
PAGE = SOURCE.parent.parent / "docs" / "errors.md"
TREES = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


def list_errors(base: type[BakeoffError] = BakeoffError) -> Iterator[type[BakeoffError]]:
    for each in base.__subclasses__():
        yield each
        yield from list_errors(each)


def find_errors() -> dict[str, type[BakeoffError]]:
    """Return all classes of user errors in src by name, after importing the modules that define them."""
    for path, tree in TREES.items():
        bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
        if any(base.endswith("Error") for base in bases) or path.name == "checkpoint_file.py":
            importlib.import_module(".".join(("bakeoff", *path.relative_to(SOURCE).with_suffix("").parts)))
    return {"BakeoffError": BakeoffError, **{each.__name__: each for each in list_errors()}}


def list_raised() -> Iterator[tuple[str, str]]:
    """Yield (place, class) for every user error that src creates."""
    known = find_errors()
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.func.id


def test_every_error_that_is_raised_has_a_code_of_its_kind() -> None:
    known = find_errors()
    raised = [(place, name) for place, name in list_raised() if name != "StudyError"]
    assert len(raised) > 300
    without = [f"{place}: {name}" for place, name in raised if not known[name].code]
    assert not without, "raise a class of bakeoff.errors that has a code: " + ", ".join(without)


def test_every_code_is_explained_and_every_explanation_used() -> None:
    constants = {value for value in vars(errors).values() if isinstance(value, str) and re.fullmatch(r"BK\d{3}", value)}
    codes = {each.code for each in find_errors().values() if each.code} | constants
    assert codes == set(EXPLANATIONS)
    assert list(EXPLANATIONS) == sorted(EXPLANATIONS)
    named = {node.id for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Name)}
    ours = [name for name, each in find_errors().items() if each.code and each.__module__ == errors.__name__]
    assert [name for name in ours if name not in named] == []


def test_the_page_is_that_of_the_explanations() -> None:
    assert PAGE.read_text("utf-8") == write_page(), "bakeoff explain --markdown > docs/errors.md"


def test_code_message_and_problems_in_python() -> None:
    problems = [Problem("s.yaml:1", "seed", "given -1", "BK105"), Problem("s.yaml:2", "sede", "unknown field", "BK103")]
    error = StudyError(problems)
    assert error.code == "BK105"
    assert error.format() == "s.yaml:1: seed: given -1 [BK105]\ns.yaml:2: sede: unknown field [BK103]"
    assert error.dump()["problems"] == [vars(each) for each in problems]
    missing = ImagesNotFoundError("photos is not here\nnor there")
    assert (missing.code, str(missing)) == ("BK201", "photos is not here\nnor there")
    assert missing.format() == "photos is not here [BK201]\nnor there"
    assert "BK201" in missing.__notes__[0]
    again = pickle.loads(pickle.dumps(missing))
    assert (again.code, again.__notes__) == (missing.code, missing.__notes__)


def test_an_error_of_another_package_needs_no_code() -> None:
    class OtherError(BakeoffError):
        pass

    assert (OtherError("no").format(), OtherError.code) == ("no", "")
    assert not hasattr(OtherError("no"), "__notes__")


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["bakeoff", *arguments])
    return cli.main()


def test_explain(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("explain", "[bk201]", monkeypatch=monkeypatch) == 0
    assert EXPLANATIONS["BK201"].title in capsys.readouterr().out
    assert run("explain", "--json", monkeypatch=monkeypatch) == 0
    assert [each["code"] for each in json.loads(capsys.readouterr().out)] == list(EXPLANATIONS)
    assert run("explain", "BK999", monkeypatch=monkeypatch) == 2
    assert "[BK104]" in capsys.readouterr().err


def test_a_misspelled_option_that_is_a_field_has_a_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("run", "quickstart", "--replicates", "3", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.rstrip().endswith("[BK601]")
