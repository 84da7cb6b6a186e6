"""The example notebooks: their code runs, and what is stored of its output is small and of this machine alone."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
QUICKER = {'"epochs": 12': '"epochs": 1', "replicates=4": "replicates=3"}
"""What the tests replace in the cells."""


def read_cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text("utf-8"))["cells"]


def show(value: object) -> None:
    """Display the value of a cell's last expression, as a notebook does."""
    display = getattr(value, "_repr_html_", None)
    if display is not None:
        assert "<table>" in display() or "plotly" in display()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_code_of_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in read_cells(path):
        if cell["cell_type"] != "code":
            continue
        text = "".join(cell["source"])
        for slow, quick in QUICKER.items():
            text = text.replace(slow, quick)
        *body, last = ast.parse(text).body
        if not isinstance(last, ast.Expr):
            body.append(last)
        exec(compile(ast.Module(body, []), path.name, "exec"), names)
        if isinstance(last, ast.Expr):
            show(eval(compile(ast.Expression(last.value), path.name, "eval"), names))


def test_stored_outputs_are_small_and_without_errors() -> None:
    paths = list(FOLDER.glob("*.ipynb"))
    assert sum(path.stat().st_size for path in paths) <= 300_000
    outputs = [output for path in paths for cell in read_cells(path) for output in cell.get("outputs", ())]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
