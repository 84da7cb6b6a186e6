"""Reports of unfinished studies: scores, but no verdicts.

A verdict's error rate holds for the planned number of trials. Checking verdicts after every trial and stopping at a
pleasing one would exceed it.
"""

from __future__ import annotations

from dataclasses import replace

from bakeoff.stats.measure import Measure
from bakeoff.stats.results import BlockAnswer, Summary, rank_arms


def withhold_verdicts(summary: Summary, progress: str) -> Summary:
    """Return a summary without its verdicts; `progress` is a clause that says how much of the study is done."""
    measure = summary.measure
    answers = tuple(_withhold(summary, answer, measure, progress) for answer in summary.answers)
    return replace(summary, verdicts=(), answers=answers, overall="")


def _withhold(summary: Summary, answer: BlockAnswer, measure: Measure, progress: str) -> BlockAnswer:
    where = f"On {answer.block}, no" if answer.block else "No"
    sentence = f"{where} verdict yet: {progress}."
    ranked = rank_arms(summary.arms_of(answer.block), measure)
    if ranked and (score := ranked[0].score(measure)) is not None:
        sentence += f" So far {ranked[0].arm} is ahead with {measure.value(score.mean)} {measure.label}."
    others = tuple(arm.arm for arm in ranked[1:])
    return replace(answer, sentence=sentence, not_worse=others, equivalent=(), worse=(), better=())
