"""The JSON document of `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import Section
from bakeoff.report.result_schema import RESULT_SCHEMA
from bakeoff.report.sections import SECTIONS
from bakeoff.stats.measure import SPLITS
from bakeoff.stats.results import ArmSummary, BlockAnswer, MeanSd


def build_document(report: ReportInput, sections: Sequence[Section] = SECTIONS) -> dict[str, Any]:
    """Build the document that `--json` prints: the question, answers and results, then what each section adds.

    It is strict JSON: unknown or undefined values are null, never NaN. Shares are 0..1, times are seconds, replicates
    count from 1, verdicts are on `a` relative to `b`. Keys are only added, never renamed; `result_schema` describes
    them.
    """
    summary = report.summary
    document: dict[str, Any] = {
        "schema": RESULT_SCHEMA,
        "study": report.name,
        "question": report.question,
        "about": [{"name": name, "text": text} for name, text in report.about],
        "state": report.state,
        "trials": {
            "planned": report.num_planned,
            "done": report.num_done,
            "failed": report.num_failed,
            "reused": report.num_reused,
        },
        "decide": {
            name: getattr(summary, name)
            for name in ("metric", "split", "margin", "confidence", "family", "scope", "method")
        },
        "answers": [_dump_answer(answer) for answer in summary.answers],
        "overall": summary.overall or None,
        "arms": [_dump_arm(arm) for arm in summary.arms],
        "verdicts": [verdict.dump() for verdict in summary.verdicts],
        "final_test": _dump_final_test(report),
        "reduced": report.reduced or None,
        "notes": list(report.notes),
        "data": {block: dict(facts) for block, facts in report.data.items()},
    }
    for section in sections:
        document |= section.dump(report)
    return document | {
        "numeric": report.numeric,
        "hardware": dict(report.hardware),
        "versions": dict(report.versions),
        "command": report.command,
        "seconds": report.seconds,
        "report": report.report_path,
        "report_html": report.html_path,
    }


def _dump_final_test(report: ReportInput) -> dict[str, Any]:
    return {
        "opened": len(report.final_test_opened),
        "opened_at": list(report.final_test_opened),
        "changed_after": [look.looked_at for look in report.earlier_looks],
        "looks": [
            {"study": look.study, "looked_at": look.looked_at, "replicates": len(look.replicates)}
            for look in report.summary.looks
        ],
        "trials": report.num_tested,
    }


def _dump_answer(answer: BlockAnswer) -> dict[str, Any]:
    return {
        "block": answer.block,
        "best": answer.best,
        "score": _mean_sd(answer.score),
        **{name: list(getattr(answer, name)) for name in ("not_worse", "equivalent", "worse", "missing")},
        "sentence": answer.sentence,
    }


def _dump_arm(arm: ArmSummary) -> dict[str, Any]:
    return {
        "block": arm.block,
        "arm": arm.arm,
        "replicates": arm.replicates,
        "failed": arm.failed,
        **{split: {name: _mean_sd(value) for name, value in arm.on(split).items()} for split in SPLITS},
        "scores": [{"replicate": replicate + 1, "value": value} for replicate, value in arm.scores.items()],
        "epochs": _mean_sd(arm.epochs),
        "seconds": _mean_sd(arm.seconds),
    }


def _mean_sd(value: MeanSd | None) -> dict[str, float | None] | None:
    return None if value is None else {"mean": value.mean, "sd": value.sd}
