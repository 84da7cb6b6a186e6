"""The sections of the page, in the order a reader asks; those with nothing to say are absent."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.analysis.measure import SPLITS, join_names
from bakeoff.report.basis import describe_basis
from bakeoff.report.class_tables import describe_rows
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import tabulate_classes, tabulate_ensembles
from bakeoff.report.html.appendix import list_failures, list_published, write_appendix
from bakeoff.report.html.classes import describe_calibration, describe_classes, describe_roc
from bakeoff.report.html.comparison import Figures, compare_arms, stand_arms
from bakeoff.report.html.cost import describe_costs
from bakeoff.report.html.folding import fold_blocks
from bakeoff.report.html.mistakes import show_mistakes
from bakeoff.report.html.parts import (
    Bullets,
    Details,
    Paragraph,
    Part,
    Section,
    make_section,
    make_table,
    name_block,
)
from bakeoff.report.html.search import describe_searches
from bakeoff.report.steps import describe_steps, tabulate_steps
from bakeoff.report.tables import Column
from bakeoff.study.search import DEFAULT, RANDOM, WINNER

_MOST_ENSEMBLES_TOLD = 4


def list_sections(report: ReportInput, figures: Figures) -> tuple[Section, ...]:
    """Return the sections of a report after the question, in the page's order.

    Args:
        report: what is told.
        figures: (kind, block) -> figure, for those that have something to draw.
    """
    found = (
        _answer(report, figures),
        make_section("basis", "What it rests on", [Bullets(lines=tuple(describe_basis(report)))]),
        compare_arms(report.summary, figures, report.across),
        make_section("steps", "Step by step", _steps(report, figures)),
        make_section("curves", "Learning curves", _curves(report, figures)),
        make_section("classes", "Class by class", describe_classes(report, figures)),
        make_section("mistakes", "Worst mistakes", show_mistakes(report)),
        make_section("roc", "ROC curves", describe_roc(report, figures)),
        make_section("calibration", "Calibration", describe_calibration(report, figures)),
        make_section("search", "Search", describe_searches(report, figures)),
        make_section("ensembles", "Ensembles", _ensembles(report, figures)),
        make_section("published", "Published against measured", list_published(report)),
        make_section("cost", "Cost", describe_costs(report, figures)),
        make_section("failures", "Failures", list_failures(report)),
        make_section("appendix", "Appendix", write_appendix(report)),
    )
    return tuple(fold_blocks(section, report.summary.blocks) for section in found if section is not None)


def _answer(report: ReportInput, figures: Figures) -> Section | None:
    summary = report.summary
    sentences = [answer.sentence for answer in summary.answers]
    names = summary.arm_labels
    lead: list[Part] = [Paragraph(text=summary.overall, names=names)] if summary.overall else []
    if len(sentences) == 1:
        lead.append(Paragraph(text=sentences[0], names=names))
    else:
        lead.append(Bullets(lines=tuple(sentences), names=names))
    return make_section("answer", "Answer", [*lead, *stand_arms(summary, figures), *_explain_finals(report)])


def _explain_finals(report: ReportInput) -> Iterator[Part]:
    """Say who a search's finalists are, which their names do not."""
    names = list(dict.fromkeys(search.name for search in report.searches))
    roles = {
        WINNER: f"the best recipe that the search ({join_names(names)}) found",
        RANDOM: "the best recipe of its baseline, which draws recipes by chance",
        DEFAULT: "the study's recipe as it stands, without a search",
    }
    told = [f"{arm} is {role}" for arm, role in roles.items() if arm in report.summary.arm_labels]
    if names and told:
        text = f"Here {'; '.join(told)}. All were trained anew on fresh seeds before they were compared."
        yield Paragraph(text=text, names=tuple(roles), is_quiet=True)


def _curves(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for block in report.summary.blocks:
        kinds = [kind for kind in ("curves of loss", "curves of accuracy") if (kind, block) in figures]
        if kinds:
            yield from name_block(report, block)
            yield from (figures[kind, block] for kind in kinds)


def _steps(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for block in report.summary.blocks:
        lines = describe_steps(report.summary, report.steps, block)
        if lines:
            yield from name_block(report, block)
            yield Bullets(lines=tuple(lines))
            yield from [figures["steps", block]] if ("steps", block) in figures else []
            yield make_table("Every version and what its change adds", _tabulate_steps(report, block))


def _tabulate_steps(report: ReportInput, block: str) -> list[Column]:
    """Tabulate the steps with the deciding measure alone: the scores of all measures stand in the comparison."""
    decider = f"{report.summary.split} {report.summary.metric}"
    measured = tuple(f"{split} " for split in SPLITS)
    columns = tabulate_steps(report.summary, report.steps, block)
    return [column for column in columns if column.key == decider or not column.key.startswith(measured)]


def _ensembles(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for block in report.summary.blocks:
        mine = [ensemble for ensemble in report.ensembles if ensemble.block == block]
        if not mine:
            continue
        yield from name_block(report, block)
        yield from [figures["ensembles", block]] if ("ensembles", block) in figures else []
        told = Bullets(lines=tuple(ensemble.sentence for ensemble in mine))
        is_long = len(mine) > _MOST_ENSEMBLES_TOLD
        yield Details(summary=f"All {len(mine)} ensembles in words", parts=(told,)) if is_long else told
        yield make_table("Before and after the vote", tabulate_ensembles(mine))
        for ensemble in mine:
            caption = f"On the {ensemble.split} split, before ({ensemble.before}) and after ({ensemble.label})"
            of = "" if ensemble.over == "arms" else f" of {ensemble.before}"
            table = make_table(caption, tabulate_classes(ensemble))
            which = describe_rows(len(ensemble.classes), len(table.rows))
            yield Details(summary=f"Class by class: {ensemble.label}{of}, {which}", parts=(table,))
