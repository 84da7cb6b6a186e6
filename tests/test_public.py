"""The public face, `import bakeoff`: its names, what importing it costs, and how a user's type checker sees it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff

SOURCE = Path(bakeoff.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "docs" / "studies.md", ROOT / "docs" / "python.md")

USER = """
import bakeoff

study = bakeoff.Study(
    question="Adam or SGD?",
    data={"name": "digits", "validation": 0.2},
    recipe={"network": {"name": "cnn", "filters": [16, 32]}, "epochs": 5},
    arms=[{"optimizer": ["adam", {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}]}],
    replicates={"at_least": 3, "at_most": 6},
    decide={"margin": 0.01},
    ensembles={"vote": {"by": "soft"}},
)
margin: float | None = study.decide.margin
name: str | None = study.data.name
result: bakeoff.Result = bakeoff.run(study, workspace="runs")
seconds: float = bakeoff.plan("quickstart", quick=True).seconds
sentence: str = bakeoff.load("study").summary.answers[0].sentence
result.plot_curves(metric="loss")
result.to_frame("epochs")
result.to_records("epoch")  # arg-type
bakeoff.Study(question=3)  # arg-type
bakeoff.Study(question="q", data="digits")  # arg-type
bakeoff.run(study, workspaces="runs")  # call-arg
bakeoff.rum(study)  # attr-defined
"""

MYPY = """
[mypy]
strict = True
[mypy-numpy.*,scipy.*,torch.*,plotly.*,pandas.*,optuna.*,rich.*,yaml.*,psutil.*,filelock.*,jinja2.*,safetensors.*]
follow_imports = skip
ignore_missing_imports = True
"""


def test_every_name_is_there() -> None:
    assert sorted(bakeoff.__all__) == bakeoff.__all__
    assert set(bakeoff.__all__) <= set(dir(bakeoff))
    for name in bakeoff.__all__:
        assert getattr(bakeoff, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(bakeoff.__all__) - {"__version__"}


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'bakeoff' has no attribute 'rum'"):
        bakeoff.rum  # noqa: B018


def test_importing_it_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import bakeoff; new = set(sys.modules) - before; "
        "print(sorted(name for name in new if name.partition('.')[0] not in sys.stdlib_module_names))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "['bakeoff']\n"


def test_code_of_users_and_of_the_documents_type_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {"user": USER, **{path.stem: _read_examples(path) for path in DOCUMENTS}}
    for name, program in programs.items():
        (tmp_path / f"{name}.py").write_text(program)
    (tmp_path / "mypy.ini").write_text(MYPY)
    monkeypatch.setenv("MYPYPATH", str(SOURCE.parent))
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-pretty", *(f"{n}.py" for n in programs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    found = re.findall(r"^(.+).py:(\d+): error: .*\[(.+)\]$", ended.stdout, re.MULTILINE)
    wrong = [(number, line) for number, line in enumerate(USER.splitlines(), 1) if "# " in line]
    expected = [("user", str(number), line.partition("# ")[2]) for number, line in wrong]
    assert found == expected, ended.stdout + ended.stderr


def _read_examples(document: Path) -> str:
    """Return the Python in a document as one program."""
    examples = re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    assert examples
    return "\n".join(examples)
