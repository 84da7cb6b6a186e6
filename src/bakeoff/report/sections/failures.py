"""The trials that failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.parts import Details, Paragraph, Part, Section, Table
from bakeoff.report.tables import Column, Medium, format_all, numbers, texts
from bakeoff.report.text import count, name_run
from bakeoff.stats.results import TrialResult

_MOST_OPEN = 20
_MOST_REASONS = 5


def _gather(sources: Sources) -> dict[str, Any]:
    return {"failures": tuple(result for result in sources.record.results if result.state == "failed")}


def write_failures(report: ReportInput) -> Iterator[Part]:
    """Yield every failed trial and its reason; in a terminal only the reasons."""
    if not report.failures:
        return
    number = count(len(report.failures), "trial")
    yield Paragraph(text=f"{number} of {report.num_planned:,} failed.")
    table = Table(caption="Failed trials", columns=_tabulate(report.failures))
    yield Details(summary=f"All {number}", parts=(table,)) if len(report.failures) > _MOST_OPEN else table
    yield Paragraph(text=f"{number} failed:", role="alarm", media=Medium.TERMINAL)
    for line in _list_reasons(report.failures):
        yield Paragraph(text=line, media=Medium.TERMINAL)


def _tabulate(failures: Sequence[TrialResult]) -> list[Column]:
    """Tabulate failed trials, with a column of folds if there are any."""
    has_folds = any(failure.fold is not None for failure in failures)
    return [
        texts("block", (failure.block for failure in failures)),
        texts("arm", (failure.arm for failure in failures)),
        numbers("replicate", (str(failure.replicate + 1) for failure in failures)),
        *(
            [numbers("fold", format_all(None if f.fold is None else str(f.fold + 1) for f in failures))]
            if has_folds
            else []
        ),
        texts("reason", (failure.reason for failure in failures)),
        texts("trial", (failure.trial_id for failure in failures)),
    ]


def _list_reasons(failures: Sequence[TrialResult]) -> Iterator[str]:
    reasons = Counter(failure.reason for failure in failures)
    for reason, number in reasons.most_common(_MOST_REASONS):
        first = next(failure for failure in failures if failure.reason == reason)
        run = name_run(first.replicate, first.fold)
        where = ", ".join(part for part in (first.block, first.arm, run) if part)
        more = f" and {number - 1} more" if number > 1 else ""
        yield f"  {reason} ({where}{more})"
    if len(reasons) > _MOST_REASONS:
        yield f"  and {count(len(reasons) - _MOST_REASONS, 'other reason')}"


def _dump(report: ReportInput) -> dict[str, Any]:
    return {"failures": [_dump_failure(failure) for failure in report.failures]}


def _dump_failure(failure: TrialResult) -> dict[str, Any]:
    return {
        "trial": failure.trial_id,
        "block": failure.block,
        "arm": failure.arm,
        "replicate": failure.replicate + 1,
        "reason": failure.reason,
        "fold": None if failure.fold is None else failure.fold + 1,
    }


SECTION = Section(name="failures", title="Failures", gather=_gather, write=write_failures, dump=_dump)
