"""The search and the cost on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bakeoff.report.costs import ArmCost
from bakeoff.report.document import ReportInput
from bakeoff.report.importance import FieldImportance, SearchImportance
from bakeoff.report.parts import Details, InBlock, Paragraph, Part, Section, Table, compose
from bakeoff.report.sections.cost import SECTION as COST
from bakeoff.report.sections.search import SECTION as SEARCH
from bakeoff.report.tables import Medium

MakeReport = Callable[..., ReportInput]


def tell(section: Section, report: ReportInput) -> tuple[Part, ...]:
    """Return what Markdown says of the first block."""
    (written,) = compose([section], report, Medium.MARKDOWN)
    (part, *_) = written.parts
    assert isinstance(part, InBlock)
    return part.parts


def test_importance_says_how_it_is_computed(full_report: ReportInput) -> None:
    importance = SearchImportance(
        kind="candidate",
        num_candidates=20,
        num_good=5,
        numbers=(),
        scores=(),
        fields=(FieldImportance(field="epochs", share=1.0, chance=0.1, values=()),),
    )
    report = replace(full_report, searches=(replace(full_report.searches[0], importance=importance),))
    (told,) = [part for part in tell(SEARCH, report) if isinstance(part, Paragraph)]
    assert "PED-ANOVA" in told.text
    assert ("epochs", True) in told.pieces
    assert not [part for part in tell(SEARCH, full_report) if isinstance(part, Paragraph)]


def test_every_candidate_is_folded_away(full_report: ReportInput) -> None:
    parts = tell(SEARCH, full_report)
    assert isinstance(parts[-1], Details)
    assert parts[-1].summary.endswith("candidates")


def test_costs_tell_size_and_rates_in_their_units(make_report: MakeReport) -> None:
    cost = ArmCost(
        block="digits",
        arm="orthogonal",
        num_parameters=44_426.0,
        model_bytes=177_704,
        images_per_second=24_025.04,
        epochs_per_second=0.04061,
    )
    table, told = tell(COST, make_report(costs=(cost,)))
    assert isinstance(table, Table)
    assert isinstance(told, Paragraph)
    headers = ("parameters", "model size, MB", "images per second", "epochs per second")
    assert tuple(column.header[0] for column in table.columns[-4:]) == headers
    row = next(row for row in table.rows if row[0].text == "orthogonal")
    assert [cell.text for cell in row[-4:]] == ["44,426", "0.178", "24,000", "0.0406"]
    other = next(row for row in table.rows if row[0].text != "orthogonal")
    assert [cell.text for cell in other[-4:]] == ["-"] * 4


def test_costs_nobody_knows_have_no_column(make_report: MakeReport) -> None:
    cost = ArmCost(block="digits", arm="orthogonal", num_parameters=5.0, model_bytes=None)
    table, _ = tell(COST, make_report(costs=(cost,)))
    assert isinstance(table, Table)
    assert table.columns[-1].header == ("parameters",)
