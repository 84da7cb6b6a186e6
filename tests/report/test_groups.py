"""What a report says of groups of arms, in every output."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from bakeoff.report.document import ReportInput
from bakeoff.report.render.json import build_document
from bakeoff.report.render.latex import write_latex
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.terminal import print_verdict
from bakeoff.report.sections.groups import tell_groups
from bakeoff.stats.groups import judge_groups

Make = Callable[..., ReportInput]
ARMS = ("he_normal", "he_uniform", "zeros", "ones")


@pytest.fixture
def report(make_report: Make) -> ReportInput:
    summary = make_report(arms=ARMS).summary
    leads = judge_groups(summary, {"scaled": ARMS[:2], "constant": ARMS[2:]})
    return make_report(arms=ARMS, summary=summary, facts={"groups": leads})


def test_every_report_tells_the_groups(report: ReportInput) -> None:
    sentence = "Every arm of scaled leads every arm of constant, by "
    text = write_markdown(report)
    assert "## Groups of arms" in text
    assert text.count(sentence) == 2  # in the answer and in its section
    stream = io.StringIO()
    print_verdict(Console(file=stream, width=160, force_terminal=False), report)
    assert sentence in stream.getvalue()
    assert "groups" in write_latex(report)
    document = json.loads(json.dumps(build_document(report), allow_nan=False))
    assert document["groups"][0]["leader"] == "scaled"


def test_a_study_without_groups_says_nothing_of_them(make_report: Make) -> None:
    plain = make_report()
    assert tell_groups(plain) == ()
    assert "groups" not in build_document(plain)
    assert "Groups of arms" not in write_markdown(plain)
