"""A study that is not finished has scores, and no verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from bakeoff.report.document import ReportInput
from bakeoff.report.interim import withhold_verdicts
from bakeoff.report.render.html import write_html
from bakeoff.report.render.json import build_document
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.sections.basis import describe_progress, describe_statistics


def test_an_interim_report_carries_no_verdict_words(make_report: Callable[..., ReportInput]) -> None:
    finished = make_report()
    summary = withhold_verdicts(finished.summary, "7 of 15 trials have ended")
    assert summary.verdicts == ()
    (interim,) = summary.answers
    assert "no verdict" in interim.sentence
    assert "7 of 15 trials" in interim.sentence
    assert "orthogonal is ahead with 97.71%" in interim.sentence
    report = replace(finished, summary=summary, state="unfinished", final_test_opened=(), num_tested=0)
    assert describe_statistics(report) == ""
    assert describe_statistics(finished) != ""
    for told in (write_markdown(report), write_html(report)):
        body = (
            told.partition("<script")[0].partition("<style")[0] + told.partition("</style>")[2].partition("<script")[0]
        )
        assert "no verdict" in body
        assert "better than" not in body
        assert "inconclusive" not in body
        assert "erdicts compare" not in body
        assert "on the validation split" not in body
        assert "on each row" not in body
    (answer,) = build_document(report)["answers"]
    assert (answer["best"], answer["worse"], answer["equivalent"]) == ("orthogonal", [], [])


def test_how_far_the_final_test_is_is_said(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(state="unfinished", in_final_test=True, num_tested=6)
    assert re.match(r"15 of 15 trials .*\b6\b.* final test", describe_progress(report))


def test_nothing_done_is_said(make_report: Callable[..., ReportInput]) -> None:
    summary = withhold_verdicts(make_report(num_replicates=0).summary, "0 of 15 trials have ended")
    assert "0 of 15 trials" in summary.answers[0].sentence
    assert "ahead" not in summary.answers[0].sentence
