"""A section from another package: one file and one entry point put it in every output."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from bakeoff import registry
from bakeoff.api import load
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.report.render.html import write_html
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.terminal import print_verdict
from bakeoff.report.sections import SECTIONS
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

MODULE = """
from bakeoff.report.export.frame import Frame, FrameColumn
from bakeoff.report.parts import EVERYWHERE, Paragraph, Section, Table
from bakeoff.report.tables import numbers, texts


def gather(sources):
    return {"letters": {arm: len(arm) for arm in sources.plan.arms}}


def write(report):
    letters = report.facts["letters"]
    yield Paragraph(text="Names have <letters>.", media=EVERYWHERE)
    columns = [texts("arm", letters), numbers("letters", map(str, letters.values()))]
    yield Table(caption="Letters of a name", label="letters", columns=columns, media=EVERYWHERE)


def dump(report):
    return {"letters": report.facts["letters"]}


def tabulate(report):
    return Frame((FrameColumn("arm", "text"), FrameColumn("letters", "integer")), report.facts["letters"].items())


SECTION = Section(
    name="letters", title="Letters", gather=gather, write=write, dump=dump, tables={"letters": tabulate}
)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package, as pip would leave it."""
    folder = tmp_path / "installed"
    metadata = folder / "letters-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "letters_section.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[bakeoff.sections]\nletters = letters_section:SECTION\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(SECTIONS, "_entries", None)
    registry._read_entry_points.cache_clear()
    yield
    registry._read_entry_points.cache_clear()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace whose ledger holds a study of which nothing is trained yet."""
    study = Study(
        name="tiny", question="Which?", recipe={"network": "mlp"}, arms=[{"optimizer": ["adam", "sgd"]}], replicates=1
    )
    folders = Folders(tmp_path / "runs")
    folders.root.mkdir()
    with closing(Ledger(folders)) as ledger:
        ledger.register_study(
            "ab" * 32,
            name="tiny",
            document=study.model_dump(mode="json"),
            placements=[Placement(arm, "digits", arm, 0) for arm in ("adam", "sgd")],
            numeric="float32",
            command="",
        )
    return folders.root


@pytest.mark.usefixtures("package")
def test_a_section_of_another_package_is_in_every_output(workspace: Path) -> None:
    result = load("tiny", workspace)
    stream = io.StringIO()
    print_verdict(Console(file=stream, width=80), result.report)
    assert "Names have <letters>." in stream.getvalue()
    assert [line.split() for line in stream.getvalue().splitlines() if line.startswith("sgd ")][-1] == ["sgd", "3"]
    markdown = write_markdown(result.report)
    assert "## Letters\n\nNames have &lt;letters&gt;.\n\nLetters of a name:\n\n| arm | letters |" in markdown
    page = write_html(result.report)
    assert '<section id="letters"' in page
    assert "<p>Names have &lt;letters&gt;.</p>" in page
    assert '<th scope="row">sgd</th><td class="number">3</td>' in page
    latex = result.to_latex()
    assert r"\label{tab:tiny-letters}" in latex
    assert r"sgd & 3 \tabularnewline" in latex
    assert result.to_csv("letters") == "arm,letters\nadam,4\nsgd,3\n"
    assert json.loads(json.dumps(result.document))["letters"] == {"adam": 4, "sgd": 3}


def test_without_the_package_there_is_no_such_section(workspace: Path) -> None:
    assert "letters" not in load("tiny", workspace).document
