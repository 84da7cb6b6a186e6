"""The sections of the page, in the order a reader asks; those with nothing to say are absent."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.analysis.measure import SPLITS, join_names
from bakeoff.report.basis import describe_basis
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import tabulate_classes, tabulate_ensembles
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.html.appendix import list_failures, list_published, write_appendix
from bakeoff.report.html.comparison import Figures, compare_arms, stand_arms
from bakeoff.report.html.parts import (
    Bullets,
    Cell,
    Details,
    Heading,
    Paragraph,
    Part,
    Section,
    Table,
    make_section,
    make_table,
)
from bakeoff.report.search import SearchReport, describe_search, tabulate_groups, tabulate_lineage
from bakeoff.report.steps import describe_steps, tabulate_steps
from bakeoff.report.tables import Column, measure_of, order_arms, tabulate_measure
from bakeoff.report.text import duration
from bakeoff.study.search import DEFAULT, RANDOM, WINNER

_MOST_CLASSES_OPEN = 12


def list_sections(report: ReportInput, figures: Figures) -> tuple[Section, ...]:
    """Return the sections of a report after the question, in the page's order.

    Args:
        report: what is told.
        figures: (kind, block) -> figure, for those that have something to draw.
    """
    found = (
        _answer(report),
        make_section("basis", "What it rests on", [Bullets(lines=tuple(describe_basis(report)))]),
        compare_arms(report.summary, figures, report.across),
        make_section("steps", "Step by step", _steps(report)),
        make_section("curves", "Learning curves", _curves(report, figures)),
        make_section("classes", "Class by class", _classes(report, figures)),
        make_section("calibration", "Calibration", _calibration(report, figures)),
        make_section("search", "Search", _searches(report, figures)),
        make_section("ensembles", "Ensembles", _ensembles(report)),
        make_section("published", "Published against measured", list_published(report)),
        make_section("cost", "Cost", _cost(report, figures)),
        make_section("failures", "Failures", list_failures(report)),
        make_section("appendix", "Appendix", write_appendix(report)),
    )
    return tuple(section for section in found if section is not None)


def _answer(report: ReportInput) -> Section | None:
    summary = report.summary
    sentences = [answer.sentence for answer in summary.answers]
    names = summary.arm_labels
    lead: list[Part] = [Paragraph(text=summary.overall, names=names)] if summary.overall else []
    if len(sentences) == 1:
        lead.append(Paragraph(text=sentences[0], names=names))
    else:
        lead.append(Bullets(lines=tuple(sentences), names=names))
    return make_section("answer", "Answer", [*lead, *stand_arms(summary), *_explain_finals(report)])


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
            yield from _name_block(report, block)
            yield from (figures[kind, block] for kind in kinds)


def _name_block(report: ReportInput, block: str) -> list[Part]:
    return [Heading(text=block)] if len(report.summary.blocks) > 1 else []


def _steps(report: ReportInput) -> Iterator[Part]:
    for block in report.summary.blocks:
        lines = describe_steps(report.summary, report.steps, block)
        if lines:
            yield from _name_block(report, block)
            yield Bullets(lines=tuple(lines))
            yield make_table("Every version and what its change adds", _tabulate_steps(report, block))


def _tabulate_steps(report: ReportInput, block: str) -> list[Column]:
    """Tabulate the steps with the deciding measure alone: the scores of all measures stand in the comparison."""
    decider = f"{report.summary.split} {report.summary.metric}"
    measured = tuple(f"{split} " for split in SPLITS)
    columns = tabulate_steps(report.summary, report.steps, block)
    return [column for column in columns if column.key == decider or not column.key.startswith(measured)]


def _classes(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for evidence in report.evidence:
        yield from _name_block(report, evidence.block)
        yield Bullets(lines=tuple(_describe_evidence(evidence)))
        table = _tabulate_classes(evidence)
        is_long = len(evidence.classes) > _MOST_CLASSES_OPEN
        yield Details(summary=f"All {len(evidence.classes)} classes", parts=(table,)) if is_long else table
        if ("confusion", evidence.block) in figures:
            yield figures["confusion", evidence.block]
        if not is_long:
            yield Details(summary="The same as a table", parts=(_tabulate_confusion(evidence),))


def _describe_evidence(evidence: BlockEvidence) -> Iterator[str]:
    low, high = evidence.accuracy_interval
    names = {"macro_precision": "precision", "macro_recall": "recall", "macro_f1": "F1", "macro_auc": "AUC"}
    spelled = ", ".join(
        f"{text} {evidence.averages[name]:.4f}" for name, text in names.items() if name in evidence.averages
    )
    yield (
        f"The best arm, {evidence.arm}, on the {evidence.split} split, means over {evidence.num_trials} trials and all "
        f"classes: {spelled}."
    )
    yield (
        f"Accuracy to expect on other images of this kind, by Wilson's 95% interval: {100 * low:.2f}% to "
        f"{100 * high:.2f}%."
    )
    if evidence.vote is not None:
        yield f"The models of the folds voting together: accuracy {100 * evidence.vote.mean:.2f}%."
    if evidence.luck_sentence:
        yield f"Against {evidence.rival}: {evidence.luck_sentence}"


def _tabulate_classes(evidence: BlockEvidence) -> Table:
    rows = evidence.classes
    columns = [
        Column(key="class", header=("class",), cells=tuple(row.name for row in rows), is_number=False),
        Column(key="images", header=("images",), cells=tuple(f"{row.occurring:,}" for row in rows)),
        *(
            Column(key=name, header=(title,), cells=tuple(_share(getattr(row, name)) for row in rows))
            for name, title in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"), ("auc", "AUC"))
        ),
    ]
    return make_table(f"Every class: {evidence.arm}", columns)


def _tabulate_confusion(evidence: BlockEvidence) -> Table:
    names = tuple(row.name for row in evidence.classes)
    rows = tuple(
        (Cell(text=name), *(Cell(text=f"{number:,}") for number in numbers))
        for name, numbers in zip(names, evidence.confusion, strict=True)
    )
    return Table(
        caption="Images by true class (rows) and predicted class (columns), summed over trials",
        headers=("true class", *names),
        is_number=(False, *(True for _ in names)),
        rows=rows,
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _calibration(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for evidence in report.evidence:
        error = evidence.averages.get("expected_calibration_error")
        if error is not None:
            yield from _name_block(report, evidence.block)
            yield Paragraph(
                text=f"The confidence that {evidence.arm} states is off by {100 * error:.1f} points on average "
                "(expected calibration error); a perfectly calibrated one would be off by 0."
            )
        if ("calibration", evidence.block) in figures:
            yield figures["calibration", evidence.block]


def _searches(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for search in report.searches:
        yield from _name_block(report, search.block)
        yield Bullets(lines=tuple(describe_search(search)))
        if ("search", search.block) in figures:
            yield figures["search", search.block]
        yield make_table(f"Values by {search.group_noun}, on the validation split", tabulate_groups(search))
        yield from _lineages(search)
        columns = tabulate_lineage(search.candidates, search.objectives[0])
        table = make_table("What every candidate changes of the default recipe", columns)
        yield Details(summary=f"All {len(search.candidates)} candidates", parts=(table,))


def _lineages(search: SearchReport) -> Iterator[Part]:
    for kind in search.kinds:
        if kind.winner is not None and len(kind.lineage) > 1:
            caption = f"Where {kind.kind} {kind.winner.number} comes from, itself last"
            columns = tabulate_lineage(kind.lineage, search.objectives[0])
            # A recipe of many layers fills a screen; how each came about is what a lineage tells.
            yield make_table(caption, [column for column in columns if column.key != "changes"])


def _ensembles(report: ReportInput) -> Iterator[Part]:
    for block in report.summary.blocks:
        mine = [ensemble for ensemble in report.ensembles if ensemble.block == block]
        if not mine:
            continue
        yield from _name_block(report, block)
        yield Bullets(lines=tuple(ensemble.sentence for ensemble in mine))
        yield make_table("Before and after the vote", tabulate_ensembles(mine))
        for ensemble in mine:
            caption = f"On the {ensemble.split} split, before ({ensemble.before}) and after ({ensemble.label})"
            yield Details(
                summary=f"Class by class: {ensemble.label}", parts=(make_table(caption, tabulate_classes(ensemble)),)
            )


def _cost(report: ReportInput, figures: Figures) -> Iterator[Part]:
    for block in report.summary.blocks:
        arms = [arm for arm in order_arms(report.summary, block) if arm.seconds is not None]
        if not arms:
            continue
        yield from _name_block(report, block)
        yield from [figures["cost", block]] if ("cost", block) in figures else []
        seconds = [arm.seconds.mean if arm.seconds else 0.0 for arm in arms]
        columns = [
            Column(key="arm", header=("arm",), cells=tuple(arm.arm for arm in arms), is_number=False),
            tabulate_measure(measure_of(report.summary), arms),
            Column(
                key="epochs",
                header=("epochs",),
                cells=tuple("-" if arm.epochs is None else f"{arm.epochs.mean:.1f}" for arm in arms),
            ),
            Column(key="seconds", header=("time a trial",), cells=tuple(map(duration, seconds))),
            Column(
                key="total",
                header=("all trials",),
                cells=tuple(duration(s * arm.replicates) for s, arm in zip(seconds, arms, strict=True)),
            ),
        ]
        yield make_table("Training time, one trial's share of the machine", columns)
