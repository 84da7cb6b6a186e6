"""What an answer rests on: what it was made with, and who had looked before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.sections.basis import describe_final_test
from bakeoff.stats.looks import LineLook

MOMENT = "2026-01-02T03:04:05+00:00"


def test_what_results_were_made_with_says_each_thing_once(make_report: Callable[..., ReportInput]) -> None:
    hardware = {"processor": "AMD EPYC", "cores": "2 cores", "memory": "24 GiB memory"}
    report = make_report(hardware=hardware, versions={"torch": "2.13"}, numeric="float32")
    told = {"torch": "2.13", "processor": "AMD EPYC", "cores": "2", "memory": "24 GiB", "numeric mode": "float32"}
    assert report.made_with == told
    assert make_report(hardware={"cores": "1 core"}, versions={}, numeric="").made_with == {"cores": "1"}


def test_where_nothing_ended_no_verdict_rests_on_anything(make_report: Callable[..., ReportInput]) -> None:
    text = describe_final_test(make_report(num_replicates=0, final_test_opened=()))
    assert "not been opened" in text
    assert "verdict" not in text


@pytest.mark.parametrize(
    ("studies", "sentence"),
    [
        (["quickstart"], "This study looked at these arms on these test images once before it was changed, at"),
        (
            ["quickstart"] * 3,
            "This study looked at these arms on these test images 3 times before it was changed, first",
        ),
        (["a"], "Another study (a) looked at these arms on these test images once, at 2026-01-02 03:04 UTC."),
        (["a", "b", "a"], "Other studies (a, b) looked at these arms on these test images 3 times, first at 2026"),
        (
            ["a", "quickstart"],
            "Another study (a) and this one, before it was changed, looked at these arms on these test images twice",
        ),
    ],
)
def test_who_had_looked_before_is_said(
    make_report: Callable[..., ReportInput], studies: list[str], sentence: str
) -> None:
    looks = tuple(
        LineLook(
            number=number,
            study_id=str(number),
            study=name,
            looked_at=MOMENT,
            trials=frozenset(),
            replicates=frozenset(),
        )
        for number, name in enumerate(studies, 1)
    )
    assert sentence in describe_final_test(make_report(name="quickstart", earlier_looks=looks))
    assert "looked at" not in describe_final_test(make_report())
