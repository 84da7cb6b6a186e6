"""Groups of arms against each other: whether every arm of one leads every arm of another, and by how much on average.

"Every arm leads every arm" is said only if each of these pairs is settled on its own, by the study's verdicts. The
average of a group's arms, each counting the same, is compared with another group's as two arms are; all pairs of groups
of a block are one family.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bakeoff.stats.averaged import average_arms
from bakeoff.stats.factors import make_judging, strip_verdict
from bakeoff.stats.judging import judge_pairs
from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.results import Summary, Verdict
from bakeoff.stats.wording import POPULATIONS

Groups = Mapping[str, Sequence[str]]
"""Group -> its arms; no arm is in two."""


@dataclass(frozen=True, kw_only=True)
class GroupLead:
    """One group of arms against another, in one block.

    Attributes:
        verdict: of the average of group `a` relative to that of group `b`; None if an arm has no score.
        missing: arms of the two without a score.
        leader: the group of which every arm is shown to be better than every arm of the other; empty if there is none.
        least, most: smallest and largest difference of an arm of the leader and one of the other, 0 or more; None
            without a leader.
    """

    block: str
    a: str
    b: str
    verdict: Verdict | None
    missing: tuple[str, ...] = ()
    leader: str = ""
    least: float | None = None
    most: float | None = None


def judge_groups(summary: Summary, groups: Groups) -> tuple[GroupLead, ...]:
    """Compare every two groups in every block, two-sided, in the study's scope.

    Args:
        summary: what the study's results say.
        groups: two or more, of arms of the study.

    Raises:
        ValueError: a group names an arm that the study does not have.
    """
    unknown = [arm for arms in groups.values() for arm in arms if arm not in summary.arm_labels]
    if unknown:
        raise ValueError(f"a group names '{unknown[0]}', which is no arm of the study")
    return tuple(lead for block in summary.blocks for lead in _judge_block(summary, block, groups))


def _judge_block(summary: Summary, block: str, groups: Groups) -> list[GroupLead]:
    arms = {arm.arm: arm for arm in summary.arms_of(block)}
    empty = {name: tuple(arm for arm in members if not arms[arm].scores) for name, members in groups.items()}
    whole = [name for name in groups if not empty[name]]
    averages = {name: average_arms([arms[arm] for arm in groups[name]], name) for name in whole}
    pairs = list(itertools.combinations(whole, 2))
    judged = judge_pairs([(averages[a], averages[b]) for a, b in pairs], make_judging(summary, block))
    verdicts = dict(zip(pairs, map(strip_verdict, judged), strict=True))
    crossed = _judge_crossed(summary, block, groups)
    return [
        _find_lead(
            GroupLead(block=block, a=a, b=b, verdict=verdicts.get((a, b)), missing=(*empty[a], *empty[b])),
            [crossed.get((one, other)) for one in groups[a] for other in groups[b]],
            summary.measure,
        )
        for a, b in itertools.combinations(groups, 2)
    ]


def _judge_crossed(summary: Summary, block: str, groups: Groups) -> dict[tuple[str, str], Verdict]:
    """Return the verdicts on pairs of arms of two groups: the study's own, or with a baseline a family of these."""
    if summary.baseline is None:
        found = summary.verdicts_of(block)
        return {pair: v.seen_from(pair[0]) for v in found for pair in ((v.a, v.b), (v.b, v.a))}
    arms = {arm.arm: arm for arm in summary.arms_of(block)}
    sides = itertools.combinations(groups.values(), 2)
    pairs = [pair for one, other in sides for pair in itertools.product(one, other)]
    verdicts = judge_pairs([(arms[a], arms[b]) for a, b in pairs], make_judging(summary, block))
    return dict(zip(pairs, verdicts, strict=True))


def _find_lead(lead: GroupLead, crossed: Sequence[Verdict | None], measure: Measure) -> GroupLead:
    """Add who leads throughout, if every pair is settled the same way."""
    words = {None if verdict is None else verdict.verdict for verdict in crossed}
    if words not in ({"better"}, {"worse"}):
        return lead
    sizes = [abs(verdict.difference or 0.0) for verdict in crossed if verdict is not None]
    return replace(lead, leader=lead.a if words == {"better"} else lead.b, least=min(sizes), most=max(sizes))


def write_lead(lead: GroupLead, measure: Measure, confidence: float) -> str:
    """Say how two groups stand, as a sentence that names the population of its verdict."""
    if lead.verdict is None or not lead.verdict.replicates:
        named = f": {join_names(list(lead.missing))} without a score" if lead.missing else ""
        return f"{lead.a} and {lead.b} are not compared{named}."
    if lead.leader and lead.least is not None and lead.most is not None:
        other = lead.b if lead.leader == lead.a else lead.a
        ends = f"{measure.number(lead.least)} to {measure.distance(lead.most)}"
        return f"Every arm of {lead.leader} leads every arm of {other}, by {ends} {_population(lead.verdict)}."
    return _write_average(lead.verdict, measure, confidence)


def _population(verdict: Verdict) -> str:
    return POPULATIONS.get(verdict.scope, "on these test images")


def _write_average(verdict: Verdict, measure: Measure, confidence: float) -> str:
    sign = 1 if measure.record.higher_is_better else -1
    seen = verdict if sign * (verdict.difference or 0.0) >= 0 else verdict.seen_from(verdict.b)
    ends = "" if seen.interval is None else f" ({percent(confidence)} interval {measure.interval(seen.interval)})"
    size = f"{measure.distance(seen.difference or 0.0)}{ends} {_population(verdict)}"
    if seen.verdict == "better":
        return f"On average over its arms, {seen.a} leads {seen.b} by {size}; not every arm of {seen.a} is shown to."
    if seen.verdict == "equivalent":
        return f"On average over their arms, {seen.a} and {seen.b} are equivalent: they differ by {size}."
    return f"On average over their arms, no difference of {seen.a} and {seen.b} is shown: {seen.a} is ahead by {size}."


def dump_lead(lead: GroupLead) -> dict[str, Any]:
    """Return a lead as plain values, for JSON."""
    verdict = None if lead.verdict is None else lead.verdict.dump()
    return {**vars(lead), "missing": list(lead.missing), "leader": lead.leader or None, "verdict": verdict}
