"""Two short forms of a result: one line, and Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL
from bakeoff.report.render.markdown import write_table
from bakeoff.report.sections.answer import tabulate_standings
from bakeoff.report.sections.basis import describe_statistics, describe_trials
from bakeoff.report.tables import Column, format_mean, numbers, texts, verdicts_against
from bakeoff.report.text import count, escape_line, escape_markdown, show_text
from bakeoff.stats.measure import join_names
from bakeoff.stats.requirements import Finding
from bakeoff.stats.results import BlockAnswer, Summary

_MOST_ROWS = 12
_MOST_NAMED = 3
_MOST_FINDINGS = 6
_WORDS = {
    "better": "better than",
    "worse": "worse than",
    "equivalent": "equivalent to",
    "inconclusive": "not shown to differ from",
}


def write_line(report: ReportInput) -> str:
    """Return a result in one line: the best arm of every block, or the baseline, and its verdicts."""
    summary = report.summary
    if not summary.verdicts or len(summary.blocks) > MOST_BLOCKS_IN_FULL:
        told = summary.overall or " ".join(answer.sentence for answer in summary.answers)
    else:
        told = "; ".join(_describe_block(summary, answer) for answer in summary.answers) + "."
    failed = f" {count(report.num_failed, 'trial')} failed." if report.num_failed else ""
    return show_text(f"{report.name}: {told}{failed}")


def _describe_block(summary: Summary, answer: BlockAnswer) -> str:
    reference = answer.baseline or answer.best
    where = f"on {answer.block}, " if len(summary.blocks) > 1 else ""
    arm = next((each for each in summary.arms_of(answer.block) if each.arm == reference), None)
    score = None if arm is None else arm.score(summary.measure)
    if reference is None or arm is None or score is None:
        return f"{where}no score"
    by_word: dict[str, list[str]] = {}
    for verdict in verdicts_against(summary, answer.block, reference).values():
        by_word.setdefault(verdict.seen_from(reference).verdict, []).append(verdict.a)
    said = ", ".join(f"{_WORDS[word]} {_name(by_word[word])}" for word in _WORDS if word in by_word)
    role = f"{'the baseline ' if answer.baseline else ''}{reference}"
    runs = count(arm.replicates, summary.runs.removesuffix("s"))
    over = f"mean ± sd of {runs}" if score.sd is not None else runs
    return f"{where}{role} is {said} ({summary.measure.label} {format_mean(summary.measure, score)}, {over})"


def _name(arms: Sequence[str]) -> str:
    return f"{len(arms)} arms" if len(arms) > _MOST_NAMED else join_names(list(arms))


def write_summary(report: ReportInput, findings: Sequence[Finding] = ()) -> str:
    """Return a result as short Markdown without links: question, answer, verdicts, requirements, and the basis.

    Args:
        report: the result.
        findings: requirements that it was checked against.
    """
    summary = report.summary
    parts = [f"### {escape_line(report.question or report.name)}"]
    parts += ["\n".join(_write_findings(findings))] if findings else []
    if len(summary.blocks) > MOST_BLOCKS_IN_FULL:
        parts += [f"**{escape_line(summary.overall)}**"] if summary.overall else []
        parts += _write_rows(_tabulate_blocks(summary), "block")
    else:
        for answer in summary.answers:
            parts.append(f"**{escape_line(answer.sentence)}**")
            reference = answer.baseline or answer.best
            if reference is not None and summary.verdicts:
                parts += _write_rows(tabulate_standings(summary, answer, reference).columns, "arm", len(summary.blocks))
    parts += [f"{escape_line(report.reduced)}"] if report.reduced else []
    basis = " ".join(filter(None, [f"{report.name}: {describe_trials(report)}", describe_statistics(report)]))
    version = report.versions.get("bakeoff")
    parts.append(escape_line(basis) + (f" bakeoff {escape_markdown(version)}." if version else ""))
    return "\n\n".join(parts) + "\n"


def _write_findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each requirement; of many, for those that are not met."""
    shown = sorted(findings, key=lambda finding: finding.is_met)[:_MOST_FINDINGS]
    for finding in shown:
        yield f"- **{finding.state}**: {escape_markdown(finding.reason)}"
    others = [finding for finding in findings if finding not in shown]
    num_met = sum(finding.is_met for finding in others)
    if others:
        yield f"- {num_met} more met, {len(others) - num_met} more not met"


def _tabulate_blocks(summary: Summary) -> list[Column]:
    answers = summary.answers
    scores = (
        "no trial done" if answer.score is None else format_mean(summary.measure, answer.score) for answer in answers
    )
    return [
        texts("block", (answer.block for answer in answers)),
        texts("best", (answer.best or "-" for answer in answers)),
        numbers("score", scores, f"{summary.measure.label}, mean ± sd"),
        texts("worse", (_name(answer.worse) for answer in answers), "shown to be worse"),
        texts("open", (_name(answer.not_worse) for answer in answers), "not shown to be worse"),
    ]


def _write_rows(columns: Sequence[Column], noun: str, num_tables: int = 1) -> Iterator[str]:
    """Yield a table and, if it has too many rows, the number of those that are left out."""
    most = _MOST_ROWS // num_tables
    num_rows = len(columns[0].cells)
    yield write_table([replace(column, cells=column.cells[:most]) for column in columns])
    if num_rows > most:
        yield f"{count(num_rows - most, f'more {noun}')}."
