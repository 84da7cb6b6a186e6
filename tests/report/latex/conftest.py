"""A report with every table a paper can want, and names that would like to be commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.stats.across import summarise_blocks
from bakeoff.stats.results import MeanSd
from bakeoff.stats.steps import Link, compare_steps
from bakeoff.study.published import Figure

ARMS = (r"\input{x} 50% & $y$ #1", "he_normal^~", "[x] * \u00e4\u00df \u03b1 \u4e2d \x1b[31m\nnew", '\u0416 -- "q" `z`')
BLOCKS = ("a_b", "a b", "{c} \\")


def _ensemble(block: str) -> EnsembleReport:
    return EnsembleReport(
        block=block,
        label=r"vote_\x",
        by="soft",
        over="arms",
        members=ARMS[:2],
        split="test",
        metric="accuracy",
        num_votes=5,
        num_models=2,
        score=MeanSd(0.98, 0.001),
        before=ARMS[0],
        before_score=0.985,
        mean_score=0.96,
        weights={},
        fitted=None,
        classes=(),
        sentence="",
    )


@pytest.fixture
def full_report(make_report: Callable[..., ReportInput]) -> ReportInput:
    report = make_report(
        blocks=BLOCKS,
        arms=ARMS,
        name="na_me\n\\end{document}",
        failed=tuple((ARMS[3], replicate) for replicate in range(5)),
        published=(Figure(arm=ARMS[1], metric="accuracy", value=0.99),),
        published_source="A paper_with 100% \\ more.",
        reduced="Reduced_to 10%.",
    )
    links = (Link(arm=ARMS[0]), Link(arm=ARMS[1], base=ARMS[0], start=ARMS[0], change="lr=1e-3 & ^2_ " * 4))
    return replace(
        report,
        steps=compare_steps(report.summary, links),
        ensembles=tuple(map(_ensemble, BLOCKS)),
        across=summarise_blocks(report.summary),
    )
