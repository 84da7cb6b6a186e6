"""The table of an ablation chain, and what is said of it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from bakeoff.report.document import ReportInput
from bakeoff.report.render.json import build_document
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.terminal import print_verdict
from bakeoff.report.sections.steps import describe_steps, tabulate_steps
from bakeoff.stats.steps import Link, compare_steps

Make = Callable[..., ReportInput]

LINKS = (
    Link(arm="1.0"),
    Link(arm="1.1", base="1.0", start="1.0", change="epochs=2"),
    Link(arm="1.2", base="1.1", start="1.0", change="epochs=3, name=`<b>`|"),
)


@pytest.fixture
def report(make_report: Make) -> ReportInput:
    plain = make_report(arms=("1.0", "1.1", "1.2"))
    return make_report(arms=("1.0", "1.1", "1.2"), steps=compare_steps(plain.summary, LINKS))


def print_report(report: ReportInput, width: int = 160) -> str:
    stream = io.StringIO()
    print_verdict(Console(file=stream, width=width, force_terminal=False), report)
    return stream.getvalue()


def test_a_row_holds_version_change_scores_and_what_the_step_adds(report: ReportInput) -> None:
    table = {column.key: column.cells for column in tabulate_steps(report.summary, report.steps, "digits")}
    assert table["version"] == ("1.0", "1.1", "1.2")
    assert table["change"][:2] == ("(start)", "epochs=2")
    assert table["from"] == ("-", "1.0", "1.1")
    assert table["adds"][0] == table["since start"][0] == table["p"][0] == "-"
    assert float(table["since start"][2]) == pytest.approx(float(table["adds"][1]) + float(table["adds"][2]), abs=0.02)
    assert table["verdict"] == ("-", "worse", "worse")
    assert "test accuracy" in table
    assert "train macro_f1" in table


def test_the_steps_are_said_in_words(report: ReportInput) -> None:
    first, family = describe_steps(report.summary, report.steps, "digits")
    assert re.match(r"Of 2 steps .* 2 harm: 1\.1 on 1\.0 \(-", first)
    assert "3 pairs" in family
    assert describe_steps(report.summary, (), "digits") == []


def test_every_report_has_the_steps(report: ReportInput) -> None:
    text = write_markdown(report)
    assert "## Step by step: digits" in text
    assert "\\`&lt;b&gt;\\`\\|" in text
    assert "from arm to arm" in print_report(report)
    document = json.loads(json.dumps(build_document(report), allow_nan=False))
    assert [step["arm"] for step in document["steps"]] == ["1.0", "1.1", "1.2"]
    assert document["steps"][0]["adds"] is None
    assert document["steps"][2]["since_start"]["b"] == "1.0"
    assert len(document["steps"][1]["adds"]["interval"]) == 2


def test_a_narrow_terminal_keeps_what_matters(report: ReportInput) -> None:
    lines = print_report(report, width=60).splitlines()
    assert all(len(line) <= 60 for line in lines if "Report:" not in line)
    head = next(number for number, line in enumerate(lines) if line.startswith("version"))
    assert "verdict" in lines[head]


def test_a_study_without_a_chain_says_nothing_of_steps(make_report: Make) -> None:
    plain: Any = make_report()
    assert "Step by step" not in write_markdown(plain)
    assert "from arm to arm" not in print_report(plain)
    assert build_document(plain)["steps"] == []
