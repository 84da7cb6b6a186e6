"""How printed tables show verdicts: which arm is bold, which are marked, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.stats.results import BlockAnswer, Summary

_NOT_WORSE, _EQUIVALENT, _BETTER, _WORSE = "†", "⁼", "⁺", "⁻"


def find_bold(summary: Summary, block: str) -> str | None:
    """Return the arm that is shown to be better than every other arm with a result; None if there is none."""
    scored = [arm.arm for arm in summary.arms_of(block) if arm.scores]
    better: dict[str, set[str]] = {arm: set() for arm in scored}
    for verdict in summary.verdicts_of(block):
        for seen in (verdict, verdict.seen_from(verdict.b)):
            if seen.verdict == "better" and seen.a in better:
                better[seen.a].add(seen.b)
    winners = [arm for arm in scored if better[arm] >= set(scored) - {arm}]
    return winners[0] if len(winners) == 1 and len(scored) > 1 else None


def find_marks(answer: BlockAnswer) -> dict[str, str]:
    """Return the mark of each arm not shown to be worse than the best or, with a baseline, with a settled verdict."""
    if answer.baseline is not None:
        groups = {_BETTER: answer.better, _WORSE: answer.worse, _EQUIVALENT: answer.equivalent}
        return {arm: mark for mark, arms in groups.items() for arm in arms}
    if answer.best is None or not answer.not_worse:
        return {}
    marks = dict.fromkeys((answer.best, *answer.not_worse), _NOT_WORSE)
    return marks | dict.fromkeys(answer.equivalent, _EQUIVALENT)


def explain_marks(summary: Summary, answers: Sequence[BlockAnswer]) -> str:
    """Explain the bold, marks and dashes that occur in a table of these blocks."""
    marks = {mark for answer in answers for mark in find_marks(answer).values()}
    is_missing = any(answer.missing for answer in answers)
    others = "every other arm with a result" if is_missing else "every other arm"
    has_bold = any(find_bold(summary, answer.block) is not None for answer in answers)
    meanings = {
        _NOT_WORSE: "the best, and those not shown to be worse than it",
        _BETTER: "better than the baseline",
        _EQUIVALENT: f"equivalent to the {'best' if summary.baseline is None else 'baseline'}",
        _WORSE: "worse than the baseline",
    }
    listed = "; ".join(f"{mark} {meaning}" for mark, meaning in meanings.items() if mark in marks)
    parts = [
        f"Bold: shown to be better than {others}." if has_bold else "",
        f"{listed}." if listed else "",
        "\N{EN DASH}: no trial done." if is_missing else "",
    ]
    return " ".join(filter(None, parts))
