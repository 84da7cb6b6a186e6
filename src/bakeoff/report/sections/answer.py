"""The answer: in sentences, and as a table of each arm against the best one or the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.differences import draw_differences
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL, Bullets, Figure, Paragraph, Part, Section, Table
from bakeoff.report.sections.data import tell_audits
from bakeoff.report.sections.factors import asks_of_choices, tell_choices
from bakeoff.report.sections.groups import tell_groups
from bakeoff.report.tables import PAGES, Medium, format_mean, numbers, order_arms, phrase, texts, verdicts_against
from bakeoff.stats.measure import join_names, percent
from bakeoff.stats.results import BlockAnswer, Summary
from bakeoff.study.search import DEFAULT, RANDOM, WINNER

_MOST_ARMS = 16


def write_answer(report: ReportInput) -> Iterator[Part]:
    """Yield the answers, the standing of the arms, and what a search's finalists are."""
    summary = report.summary
    names, sentences = summary.arm_labels, tuple(answer.sentence for answer in summary.answers)
    choices = [_lead(sentence, report) for sentence in tell_choices(report)]
    is_screening = asks_of_choices(report)
    if is_screening:  # it asks of choices; its arms are a part of all combinations
        yield from choices
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
    yield from () if is_screening else choices
    for sentence in tell_groups(report):
        yield _lead(sentence, report)
    for sentence in tell_audits(report):
        yield Paragraph(text=sentence, role="notice", media=PAGES | Medium.TERMINAL)
    if report.reduced:  # an HTML page shows it in its header
        yield Paragraph(text=report.reduced, role="notice", media=Medium.TERMINAL | Medium.MARKDOWN)
    yield from _warn_of_overlaps(report)
    yield from _show_standings(report)
    yield from _explain_finalists(report)
    yield from _summarise_for_terminal(report)


def _lead(sentence: str, report: ReportInput) -> Paragraph:
    return Paragraph(text=sentence, role="lead", names=report.summary.arm_labels, media=PAGES | Medium.TERMINAL)


def _warn_of_overlaps(report: ReportInput) -> Iterator[Part]:
    """Say which arms started from weights that have seen locked images, which the study allowed."""
    for block, facts in report.data.items():
        where = f" on {block}" if len(report.data) > 1 else ""
        for each in facts.get("overlaps", ()):
            text = (
                f"{each['arm']}{where} started from trial {each['trial_id']}, which has seen {each['num_seen']:,} of "
                f"the {each['num_images']:,} images of this study's {each['part']}: its score is too high "
                "(data.allow_overlap)."
            )
            yield Paragraph(text=text, names=(each["arm"], block), role="notice", media=PAGES | Medium.TERMINAL)
        for each in facts.get("unknown_overlaps", ()):
            text = (
                f"{each['arm']}{where} started from trial {each['trial_id']}, and it is not known which images that "
                "has seen: if test images are among them, its score is too high."
            )
            yield Paragraph(text=text, names=(each["arm"], block), role="notice", media=PAGES | Medium.TERMINAL)


def shows_standings(summary: Summary) -> bool:
    """Return whether the answer includes the standing of the arms: unless that would be too long, or empty."""
    return len(summary.blocks) <= MOST_BLOCKS_IN_FULL and 2 <= len(summary.arm_labels) <= _MOST_ARMS


def _show_standings(report: ReportInput) -> Iterator[Part]:
    summary = report.summary
    if not shows_standings(summary):
        return
    for answer in summary.answers:
        if answer.best is not None:
            yield Figure(draw=draw_differences, block=answer.block)
            yield tabulate_standings(summary, answer, answer.baseline or answer.best)
    if summary.verdicts:
        yield Paragraph(text=_explain_verdicts(summary), role="quiet", media=Medium.HTML)


def tabulate_standings(summary: Summary, answer: BlockAnswer, reference: str) -> Table:
    """Tabulate the arms of one block, best first, each with its verdict relative to `reference`."""
    measure = summary.measure
    against = verdicts_against(summary, answer.block, reference)
    arms = order_arms(summary, answer.block)
    role = "the baseline" if answer.baseline else "the best mean"
    words, differences = [], []
    for arm in arms:
        verdict = against.get(arm.arm)
        if verdict is None:
            words.append(role if arm.arm == reference else "not compared")
            differences.append("")
            continue
        difference = "" if verdict.difference is None else measure.signed(verdict.difference)
        interval = "" if verdict.interval is None else f" ({measure.interval(verdict.interval)})"
        words.append(f"{phrase(verdict)} {verdict.b}")
        differences.append(difference + interval)
    scores = [arm.score(measure) for arm in arms]
    means = ("no trial done" if score is None else format_mean(measure, score) for score in scores)
    where = f" on {answer.block}" if len(summary.blocks) > 1 else ""
    unit = measure.unit_of_difference and ", points"
    return Table(
        media=Medium.HTML,
        caption=f"Arms{where}, best first, each compared with {reference}",
        reference=[arm.arm for arm in arms].index(reference),
        columns=[
            texts("arm", (arm.arm for arm in arms)),
            numbers("score", means, f"{measure.label}, mean ± sd"),
            texts("verdict", words, is_verdict=True),
            texts("difference", differences, f"difference{unit} ({percent(summary.confidence)} interval)"),
        ],
    )


def _explain_verdicts(summary: Summary) -> str:
    """Explain the verdicts that occur in the answer."""
    words = {verdict.verdict for verdict in summary.verdicts}
    margin = "" if summary.margin is None else f" (by less than {summary.measure.distance(summary.margin)})"
    sentences = [f"± is the standard deviation over {summary.runs}."]
    if words & {"better", "worse"}:
        level = percent(summary.confidence)
        sentences.append(f"Better and worse: shown at {level} confidence, allowing for all comparisons.")
    if "equivalent" in words:
        sentences.append(f"Equivalent: shown to differ too little to matter{margin}.")
    if "inconclusive" in words:
        sentences.append(f"Inconclusive: these {summary.runs} do not settle it; it does not mean equal.")
    intervals = [verdict.interval for verdict in summary.verdicts if verdict.verdict == "inconclusive"]
    if any(interval is not None and interval[0] * interval[1] > 0 for interval in intervals):
        sentences.append("An interval is for its own pair alone; a verdict also allows for all other comparisons.")
    return " ".join(sentences)


def _explain_finalists(report: ReportInput) -> Iterator[Part]:
    """Say what a search's finalists are, because their names do not."""
    names = list(dict.fromkeys(search.name for search in report.searches))
    roles = {
        WINNER: f"the best recipe that the search ({join_names(names)}) found",
        RANDOM: "the best recipe of its baseline, which draws recipes by chance",  # "random" would be highlighted
        DEFAULT: "the study's own recipe, without a search",
    }
    finalists = [f"{arm} is {role}" for arm, role in roles.items() if arm in report.summary.arm_labels]
    if names and finalists:
        text = f"Here {'; '.join(finalists)}. All were trained again on new seeds before they were compared."
        yield Paragraph(text=text, names=tuple(roles), role="quiet")


def _summarise_for_terminal(report: ReportInput) -> Iterator[Part]:
    """Yield what the blocks show together and, of few blocks, the sampling error; pages have sections on both."""
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
