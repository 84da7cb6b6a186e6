"""A study that is not finished has scores, and no verdict."""

from __future__ import annotations

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
    assert [answer.sentence for answer in summary.answers] == [
        "On digits, no verdict yet: 7 of 15 trials have ended. So far orthogonal is ahead with 97.71% test accuracy."
    ]
    report = replace(finished, summary=summary, state="unfinished", final_test_opened=(), num_tested=0)
    assert describe_statistics(report) == ""
    assert describe_statistics(finished) != ""
    for told in (write_markdown(report), write_html(report)):
        body = (
            told.partition("<script")[0].partition("<style")[0] + told.partition("</style>")[2].partition("<script")[0]
        )
        assert "no verdict yet" in body
        assert "better than" not in body
        assert "inconclusive" not in body
        assert "erdicts compare" not in body
        assert "verdicts rest on the validation split" not in body
        assert "Verdict on each row" not in body
    (answer,) = build_document(report)["answers"]
    assert (answer["best"], answer["worse"], answer["equivalent"]) == ("orthogonal", [], [])


def test_how_far_the_final_test_is_is_said(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(state="unfinished", in_final_test=True, num_tested=6)
    assert describe_progress(report) == "15 of 15 trials done, 6 evaluated in the final test so far"


def test_nothing_done_is_said(make_report: Callable[..., ReportInput]) -> None:
    summary = withhold_verdicts(make_report(num_replicates=0).summary, "0 of 15 trials have ended")
    assert summary.answers[0].sentence == "On digits, no verdict yet: 0 of 15 trials have ended."
