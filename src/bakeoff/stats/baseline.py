"""The answers of a study that compares every arm with a baseline, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.stats.measure import join_names
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.results import BlockAnswer
from bakeoff.stats.wording import Standing, describe_limits, describe_losses, format_score, name_arms, place


def write_against_baseline(standing: Standing, baseline: str) -> str:
    """Write one block's answer: which arms are better than the baseline, equivalent to it, worse, or unsettled.

    Args:
        standing: with the baseline as its `best`, whatever its score; None when no trial of the baseline is done.
        baseline: its label.
    """
    if standing.best is None:
        return place(standing, f"there is no answer: no trial of the baseline, {baseline}, has a score.")
    score = f"{format_score(standing, standing.best)} {standing.measure.label}"
    if not standing.others:
        sentence = f"the baseline, {baseline}, reaches {score}; there is nothing to compare with it."
    elif all(verdict.replicates < MIN_REPLICATES for verdict in standing.against.values()):
        names = name_arms(standing, standing.others)
        sentence = (
            f"there is no verdict under {MIN_REPLICATES} {standing.runs}: the baseline, {baseline}, reaches {score}, "
            f"against {names}; so few cannot show how much of that is chance."
        )
    else:
        sentence = f"against the baseline, {baseline} ({score}), {standing.population}: {_list_outcomes(standing)}."
    return place(standing, sentence) + describe_limits(standing) + describe_losses(standing)


def write_overall_against_baseline(answers: Sequence[BlockAnswer], baseline: str) -> str:
    """Write one sentence over several blocks: in how many each arm is shown to be better or worse than the baseline.

    A count over blocks, not a test. Empty for fewer than two blocks in which the baseline has a trial done.
    """
    answered = [answer for answer in answers if answer.best is not None and baseline not in answer.missing]
    if len(answered) < 2:
        return ""
    parts = []
    for word, chosen in (("better", [a.better for a in answered]), ("worse", [a.worse for a in answered])):
        names = dict.fromkeys(name for arms in chosen for name in arms)
        counts = [f"{name} ({sum(name in arms for arms in chosen)})" for name in names]
        if counts:
            parts.append(f"{word} in some: {join_names(counts)}")
    if not parts:
        return f"Over {len(answered)} blocks no arm is shown to differ from the baseline, {baseline}."
    return f"Against the baseline, {baseline}, over {len(answered)} blocks, {'; '.join(parts)}."


def _list_outcomes(standing: Standing) -> str:
    # A verdict on the baseline is read from the other side: where the baseline is worse, the arm is better.
    outcomes = (("worse", "better"), ("equivalent", "equivalent"), ("better", "worse"))
    parts = []
    for word, outcome in outcomes:
        arms = standing.those(word)
        if arms:
            parts.append(f"{name_arms(standing, arms)} {'is' if len(arms) == 1 else 'are'} {outcome}")
    unsettled = standing.those("inconclusive")
    if unsettled:
        verb = "is" if len(unsettled) == 1 else "are"
        parts.append(f"{name_arms(standing, unsettled)} {verb} not shown to differ")
    return "; ".join(parts)
