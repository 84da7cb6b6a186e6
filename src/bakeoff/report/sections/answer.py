"""The answer: in sentences, and as the table of arms against the one they are compared with."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.differences import draw_differences
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL, Bullets, Figure, Paragraph, Part, Section, Table
from bakeoff.report.sections.factors import tell_choices
from bakeoff.report.sections.groups import tell_groups
from bakeoff.report.tables import PAGES, Medium, numbers, order_arms, phrase, texts
from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.results import BlockAnswer, MeanSd, Summary
from bakeoff.study.search import DEFAULT, RANDOM, WINNER

_MOST_ARMS = 16


def write_answer(report: ReportInput) -> Iterator[Part]:
    """Yield the answer, block by block and of all blocks, how the arms stand, and who the finalists of a search are."""
    summary = report.summary
    names, sentences = summary.arm_labels, tuple(answer.sentence for answer in summary.answers)
    is_long = len(summary.blocks) > MOST_BLOCKS_IN_FULL and summary.overall
    for sentence in (*(() if is_long else sentences), summary.overall):
        if sentence:
            yield Paragraph(text=sentence, role="lead", media=Medium.TERMINAL)
    if summary.overall:
        yield Paragraph(text=summary.overall, role="lead", names=names)
    if len(sentences) == 1:
        yield Paragraph(text=sentences[0], role="lead", names=names)
    else:
        yield Bullets(lines=sentences, names=names)
    for sentence in (*tell_choices(report), *tell_groups(report)):
        yield Paragraph(text=sentence, role="lead", names=names, media=PAGES | Medium.TERMINAL)
    if report.reduced:  # a page says it above everything
        yield Paragraph(text=report.reduced, role="notice", media=Medium.TERMINAL | Medium.MARKDOWN)
    yield from _stand_arms(report)
    yield from _explain_finals(report)
    yield from _sum_up(report)


def tells_differences(summary: Summary) -> bool:
    """Return whether the answer shows how the arms stand; not where that would be long or says nothing."""
    return len(summary.blocks) <= MOST_BLOCKS_IN_FULL and 2 <= len(summary.arm_labels) <= _MOST_ARMS


def _stand_arms(report: ReportInput) -> Iterator[Part]:
    """Yield how the arms stand, best first, block by block."""
    summary = report.summary
    if not tells_differences(summary):
        return
    for answer in summary.answers:
        if answer.best is not None:
            yield Figure(draw=draw_differences, block=answer.block)
            yield _tabulate_standings(summary, answer, answer.baseline or answer.best)
    if summary.verdicts:
        yield Paragraph(text=_explain(summary), role="quiet", media=Medium.HTML)


def _tabulate_standings(summary: Summary, answer: BlockAnswer, reference: str) -> Table:
    measure = summary.measure
    against = {
        seen.a: seen
        for verdict in summary.verdicts_of(answer.block)
        if reference in (verdict.a, verdict.b)
        for seen in [verdict.seen_from(verdict.b if verdict.a == reference else verdict.a)]
    }
    arms = order_arms(summary, answer.block)
    words, differences = [], []
    for arm in arms:
        verdict = against.get(arm.arm)
        role = "the baseline" if answer.baseline else "the best mean"
        difference = "" if verdict is None or verdict.difference is None else measure.signed(verdict.difference)
        if verdict is not None and verdict.interval is not None:
            difference += f" ({measure.interval(verdict.interval)})"
        missing = role if arm.arm == reference else "not compared"
        words.append(missing if verdict is None else f"{phrase(verdict)} {verdict.b}")
        differences.append(difference)
    where = f" on {answer.block}" if len(summary.blocks) > 1 else ""
    unit = measure.unit_of_difference and ", points"
    return Table(
        media=Medium.HTML,
        caption=f"Arms{where}, best first, each against {reference}",
        reference=[arm.arm for arm in arms].index(reference),
        columns=[
            texts("arm", (arm.arm for arm in arms)),
            numbers("score", (_spell(arm.score(measure), measure) for arm in arms), f"{measure.label}, mean ± sd"),
            texts("verdict", words, is_verdict=True),
            texts("difference", differences, f"difference{unit} ({percent(summary.confidence)} interval)"),
        ],
    )


def _spell(score: MeanSd | None, measure: Measure) -> str:
    if score is None:
        return "no trial done"
    return measure.value(score.mean) + ("" if score.sd is None else f" ± {measure.number(score.sd)}")


def _explain(summary: Summary) -> str:
    """Say what the verdicts in the answer mean; only those that occur."""
    words = {verdict.verdict for verdict in summary.verdicts}
    measure = summary.measure
    level = percent(summary.confidence)
    margin = "" if summary.margin is None else f", less than {measure.distance(summary.margin)},"
    meanings = [
        f"Better and worse: shown at {level} confidence, with all comparisons accounted for."
        if words & {"better", "worse"}
        else "",
        f"Equivalent: shown to differ too little{margin} to matter." if "equivalent" in words else "",
        f"Inconclusive: these {summary.runs} do not settle it; it does not mean equal."
        if "inconclusive" in words
        else "",
    ]
    spread = f"± is the standard deviation over {summary.runs}."
    return " ".join(filter(None, [spread, *meanings, _explain_intervals(summary)]))


def _explain_intervals(summary: Summary) -> str:
    """Say why an interval can leave zero out beside a verdict that is inconclusive; empty where none does."""
    intervals = [verdict.interval for verdict in summary.verdicts if verdict.verdict == "inconclusive"]
    if not any(interval is not None and interval[0] * interval[1] > 0 for interval in intervals):
        return ""
    return "An interval is of its own pair alone; a verdict also pays for every other comparison made beside it."


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
        yield Paragraph(text=text, names=tuple(roles), role="quiet")


def _sum_up(report: ReportInput) -> Iterator[Part]:
    """Yield for a terminal what blocks show together and the sampling error of the best pair; pages tell it at length.

    With many blocks the errors are left to the pages.
    """
    sentences = [report.across.sentence] if report.across is not None else []
    if len(report.summary.blocks) <= MOST_BLOCKS_IN_FULL:
        sentences += [
            f"{f'{evidence.block}: ' if len(report.summary.blocks) > 1 else ''}{evidence.arm} against "
            f"{evidence.rival}: {evidence.error.sentence}"
            for evidence in report.evidence
            if evidence.error is not None
        ]
    for sentence in sentences:
        yield Paragraph(text=sentence, media=Medium.TERMINAL)


SECTION = Section(name="answer", title="Answer", write=write_answer)
