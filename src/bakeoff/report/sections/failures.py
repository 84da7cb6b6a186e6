"""The trials that failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.report.document import ReportInput, Sources, TrialFailure
from bakeoff.report.parts import Details, Paragraph, Part, Section, Table
from bakeoff.report.tables import Column, Medium, numbers, texts
from bakeoff.report.text import count

_MOST_OPEN = 20
_MOST_REASONS = 5


def _gather(sources: Sources) -> dict[str, Any]:
    failed = (result for result in sources.record.results if result.state == "failed")
    failures = (
        TrialFailure(
            trial=result.trial_id,
            block=result.block,
            arm=result.arm,
            replicate=result.replicate + 1,
            fold=None if result.fold is None else result.fold + 1,
            reason=result.reason,
        )
        for result in failed
    )
    return {"failures": tuple(failures)}


def write_failures(report: ReportInput) -> Iterator[Part]:
    """Yield every failed trial and its reason; for a terminal the reasons alone."""
    if not report.failures:
        return
    number = count(len(report.failures), "trial")
    yield Paragraph(text=f"{number} of {report.num_planned:,} failed.")
    table = Table(caption="Failed trials", columns=_tabulate(report.failures))
    yield Details(summary=f"All {number}", parts=(table,)) if len(report.failures) > _MOST_OPEN else table
    yield Paragraph(text=f"{number} failed:", role="alarm", media=Medium.TERMINAL)
    for line in _list_reasons(report.failures):
        yield Paragraph(text=line, media=Medium.TERMINAL)


def _tabulate(failures: Sequence[TrialFailure]) -> list[Column]:
    """Tabulate failed trials, a row each; the fold only where there are folds."""
    has_folds = any(failure.fold is not None for failure in failures)
    return [
        texts("block", (failure.block for failure in failures)),
        texts("arm", (failure.arm for failure in failures)),
        numbers("replicate", (str(failure.replicate) for failure in failures)),
        *([numbers("fold", (str(failure.fold) for failure in failures))] if has_folds else []),
        texts("reason", (failure.reason for failure in failures)),
        texts("trial", (failure.trial for failure in failures)),
    ]


def _list_reasons(failures: Sequence[TrialFailure]) -> Iterator[str]:
    reasons = Counter(failure.reason for failure in failures)
    for reason, number in reasons.most_common(_MOST_REASONS):
        first = next(failure for failure in failures if failure.reason == reason)
        where = ", ".join(part for part in (first.block, first.arm, first.run) if part)
        more = f" and {number - 1} more" if number > 1 else ""
        yield f"  {reason} ({where}{more})"
    if len(reasons) > _MOST_REASONS:
        yield f"  and {count(len(reasons) - _MOST_REASONS, 'other reason')}"


def _dump(report: ReportInput) -> dict[str, Any]:
    return {"failures": [dict(vars(failure)) for failure in report.failures]}


SECTION = Section(name="failures", title="Failures", gather=_gather, write=write_failures, dump=_dump)
