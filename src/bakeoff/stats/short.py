"""The verdict of a whole study in a few words, for a row of a table: "adam better than sgd", "adam or lion"."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.stats.measure import join_names
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.results import BlockAnswer, Summary

_MOST_NAMED = 3


def write_short(summary: Summary) -> str:
    """Return a study's verdict in a few words; over several blocks, what holds in all of them.

    Holds names as the user wrote them: escape before printing.
    """
    phrases = [_phrase(summary, answer) for answer in summary.answers]
    if not phrases:
        return ""
    shown = phrases[0]
    if len(phrases) > 1:
        shown = f"{shown} in {_all_blocks(len(phrases))}" if len(set(phrases)) == 1 else _sum_up(summary.answers)
    return f"{shown} (validation only)" if summary.split == "validation" and summary.verdicts else shown


def _phrase(summary: Summary, answer: BlockAnswer) -> str:
    verdicts = [verdict for verdict in summary.verdicts_of(answer.block) if verdict.replicates]
    if answer.best is None:
        return "no trial has a score"
    if len(answer.not_worse) + len(answer.worse) + len(answer.better) == 0:
        return "nothing to compare"
    if all(verdict.replicates < MIN_REPLICATES for verdict in verdicts):
        return f"no verdict: fewer than {MIN_REPLICATES} {summary.runs}"
    if answer.baseline is not None:
        return _compare_with_baseline(answer, answer.baseline)
    if not answer.not_worse:
        return f"{answer.best} better than {_name(answer.worse, 'others')}"
    tied = (answer.best, *answer.not_worse)
    if set(answer.not_worse) == set(answer.equivalent):
        level = "both equivalent" if len(tied) == 2 else f"all {len(tied)} equivalent"
        return f"{join_names(list(tied))} equivalent, {_count_worse(answer)}" if answer.worse else level
    if not answer.worse:
        return f"{_offer(tied)}: not settled" if len(tied) == 2 else f"any of the {len(tied)} arms"
    return f"{_offer(tied)}, {_count_worse(answer)}"


def _compare_with_baseline(answer: BlockAnswer, baseline: str) -> str:
    if answer.better:
        return f"{_name(answer.better, 'arms')} better than {baseline}"
    if answer.worse and not answer.not_worse:
        return f"{baseline} better than {_name(answer.worse, 'others')}"
    if answer.not_worse and set(answer.not_worse) == set(answer.equivalent) and not answer.worse:
        return f"{_name(answer.equivalent, 'others')} equivalent to {baseline}"
    return f"none shown to be better than {baseline}"


def _sum_up(answers: Sequence[BlockAnswer]) -> str:
    """Say which arms are best, or not shown to be worse, in every block."""
    answered = [answer for answer in answers if answer.best is not None]
    if any(answer.baseline is not None for answer in answered):
        ahead = [name for name in dict.fromkeys(n for a in answered for n in a.better) if _count(answered, name) > 0]
        counts = [f"{name} in {_count(answered, name)} of {len(answers)}" for name in ahead[:_MOST_NAMED]]
        return f"better than {answered[0].baseline}: {join_names(counts)}" if counts else "none shown to be better"
    names = dict.fromkeys(name for a in answered for name in (str(a.best), *a.not_worse))
    unbeaten = [name for name in names if all(name == a.best or name in a.not_worse for a in answered)]
    if not unbeaten:
        return f"differs by block: none among the best in {_all_blocks(len(answers))}"
    return f"among the best in {_all_blocks(len(answers))}: {_name(unbeaten, 'arms')}"


def _all_blocks(number: int) -> str:
    return "both blocks" if number == 2 else f"all {number} blocks"


def _count(answers: Sequence[BlockAnswer], name: str) -> int:
    return sum(name in answer.better for answer in answers)


def _count_worse(answer: BlockAnswer) -> str:
    return f"{len(answer.worse)} other{'' if len(answer.worse) == 1 else 's'} worse"


def _offer(names: Sequence[str]) -> str:
    if len(names) == 2:
        return f"{names[0]} or {names[1]}"
    return f"any of {join_names(list(names)) if len(names) <= _MOST_NAMED else len(names)}"


def _name(names: Sequence[str], noun: str) -> str:
    return join_names(list(names)) if len(names) <= _MOST_NAMED else f"all {len(names)} {noun}"
