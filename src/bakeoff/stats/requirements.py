"""Requirements on a study's verdicts, such as "new better-or-equivalent baseline": what a gate passes or fails on."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bakeoff.errors import BakeoffError, nearest
from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.results import Rules, Summary, Verdict

Relation = Literal[
    "better", "better-or-equivalent", "equivalent", "not-worse", "not-better", "worse-or-equivalent", "worse"
]
RELATIONS: tuple[Relation, ...] = get_args(Relation)

_GRAMMAR = "ARM RELATION ARM [in BLOCK], names with spaces in quotes"


class RequirementError(BakeoffError, code="BK602"):
    """A requirement cannot be read, or does not fit the study."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What a verdict has to be: arm `a` in this relation to arm `b`.

    Attributes:
        text: as given.
        block: the only block that counts; None for every block.
    """

    text: str
    a: str
    relation: Relation
    b: str
    block: str | None = None

    @property
    def needs_margin(self) -> bool:
        """Whether it can only be met in a study that declares `decide.margin`."""
        return self.relation not in ("better", "worse")

    def is_met(self, verdict: Verdict, level: float, *, higher_is_better: bool) -> bool:
        """Return whether a verdict on `a` relative to `b`, at error rate `level`, is what is required."""
        if self.relation == "not-worse":
            return verdict.is_not_worse(level, higher_is_better=higher_is_better)
        if self.relation == "not-better":
            return verdict.seen_from(self.b).is_not_worse(level, higher_is_better=higher_is_better)
        return verdict.verdict in self.relation.split("-or-")

    @property
    def is_met_by_same(self) -> bool:
        """Whether two arms that are the same training meet it."""
        return self.relation not in ("better", "worse")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether a requirement is met in one block.

    Attributes:
        block: empty if no block was judged, as in an unfinished study.
        verdict: the verdict's word; None if the pair has no verdict.
        sentence: the verdict, or why there is none.
        remedy: what would settle it; empty if it is met or settled.
    """

    requirement: Requirement
    block: str
    is_met: bool
    verdict: str | None
    sentence: str
    remedy: str = ""

    @property
    def state(self) -> str:
        """Such as "not met"."""
        return "met" if self.is_met else "not met"

    @property
    def reason(self) -> str:
        """Requirement, verdict and remedy in one line. Holds names as the user wrote them: escape before printing."""
        where = f" on {self.block}" if self.block and self.requirement.block is None else ""
        return " ".join(filter(None, [f"{self.requirement.text}{where}: {self.sentence}", self.remedy]))

    def dump(self) -> dict[str, Any]:
        """Return the finding as plain values, for JSON."""
        return {
            "requirement": self.requirement.text,
            "block": self.block or None,
            "met": self.is_met,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "remedy": self.remedy or None,
        }


def parse_requirement(text: str) -> Requirement:
    """Read "ARM RELATION ARM [in BLOCK]".

    Raises:
        RequirementError: the text is something else, or the relation is unknown.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RequirementError(f"requirement {text!r}: a quote is not closed. Write {_GRAMMAR}.") from error
    if len(words) not in (3, 5) or (len(words) == 5 and words[3] != "in"):
        raise RequirementError(f"requirement {text!r}: write {_GRAMMAR}.")
    a, relation, b = words[:3]
    known = next((each for each in RELATIONS if each == relation), None)
    if known is None:
        allowed = f"Allowed: {', '.join(RELATIONS)}.{nearest(relation, RELATIONS)}"
        raise RequirementError(f"requirement {text!r}: unknown relation '{relation}'. {allowed}")
    return Requirement(text=text, a=a, relation=known, b=b, block=words[4] if len(words) == 5 else None)


def check_requirements(
    requirements: Iterable[Requirement], arms: Collection[str], blocks: Collection[str], rules: Rules
) -> None:
    """Refuse requirements that the study can never meet, whatever its results.

    Raises:
        RequirementError: an unknown arm or block, an arm against itself, a pair that the study does not compare, or a
            relation that needs a margin in a study without one.
    """
    for requirement in requirements:
        fault = _find_fault(requirement, arms, blocks, rules)
        if fault:
            raise RequirementError(f"requirement {requirement.text!r}: {fault}")


def _find_fault(requirement: Requirement, arms: Collection[str], blocks: Collection[str], rules: Rules) -> str:
    for arm in (requirement.a, requirement.b):
        if arm not in arms:
            return f"no arm '{arm}'. Arms: {', '.join(arms)}.{nearest(arm, arms)}"
    if requirement.a == requirement.b:
        return "name two different arms."
    if requirement.block is not None and requirement.block not in blocks:
        return f"no block '{requirement.block}'. Blocks: {', '.join(blocks)}.{nearest(requirement.block, blocks)}"
    if rules.baseline is not None and rules.baseline not in (requirement.a, requirement.b):
        return f"arms are compared with {rules.baseline} only (decide.against). Name it, or remove decide.against."
    if requirement.needs_margin and rules.margin is None:
        return (
            f"'{requirement.relation}' needs the largest difference that does not matter. Declare it (for accuracy "
            f"--set decide.margin=0.005, or decide.margin in the study file), or require better or worse."
        )
    return ""


def judge_requirements(
    requirements: Sequence[Requirement], summary: Summary, obstacle: str = ""
) -> tuple[Finding, ...]:
    """Return whether requirements are met, a finding for each and every block that it speaks of.

    Args:
        requirements: checked against this study by `check_requirements`.
        summary: what the results say.
        obstacle: a sentence that says why no verdict counts, as in an unfinished study: nothing is met then.
    """
    if obstacle:
        return tuple(
            Finding(requirement=each, block="", is_met=False, verdict=None, sentence=obstacle) for each in requirements
        )
    return tuple(
        _judge(requirement, block, summary)
        for requirement in requirements
        for block in summary.blocks
        if requirement.block in (None, block)
    )


def find_out(texts: Iterable[str], summary: Summary, obstacle: str = "") -> tuple[Finding, ...]:
    """Read requirements, check them against what was compared, and return whether they are met, block by block.

    Raises:
        RequirementError: a requirement cannot be read, or can never be met.
    """
    requirements = [parse_requirement(text) for text in texts]
    check_requirements(requirements, summary.arm_labels, summary.blocks, summary)
    return judge_requirements(requirements, summary, obstacle)


def _judge(requirement: Requirement, block: str, summary: Summary) -> Finding:
    pair = {requirement.a, requirement.b}
    found = next((each for each in summary.verdicts_of(block) if {each.a, each.b} == pair), None)
    if found is None:
        return _judge_without(requirement, block, summary)
    verdict = found.seen_from(requirement.a)
    higher_is_better = summary.metric_record.higher_is_better
    is_met = requirement.is_met(verdict, 1 - summary.confidence, higher_is_better=higher_is_better)
    return Finding(
        requirement=requirement,
        block=block,
        is_met=is_met,
        verdict=verdict.verdict,
        sentence=_describe(verdict, summary, by_margin=is_met and verdict.verdict == "inconclusive"),
        remedy="" if is_met else _find_remedy(verdict, summary),
    )


def _judge_without(requirement: Requirement, block: str, summary: Summary) -> Finding:
    """Judge a pair without a verdict: arms that are the same training share every trial."""
    arms = {arm.arm: arm for arm in summary.arms_of(block)}
    a, b = arms[requirement.a], arms[requirement.b]
    is_same = bool(a.scores) and a.trial_ids == b.trial_ids
    missing = [arm.arm for arm in (a, b) if not arm.scores]
    sentence = f"no trial of {join_names(missing)} has a score." if missing else "they have no verdict; see the report."
    return Finding(
        requirement=requirement,
        block=block,
        is_met=is_same and requirement.is_met_by_same,
        verdict=None,
        sentence="they are the same training." if is_same else sentence,
    )


def _describe(verdict: Verdict, summary: Summary, *, by_margin: bool) -> str:
    """Say a verdict in one sentence, with its difference and uncertainty.

    Args:
        verdict: on the pair.
        summary: what it was decided by.
        by_margin: also say how sure it is that the arm that is ahead is not behind by the margin.
    """
    measure = Measure(summary.metric_record, verdict.split)
    links = {"better": "is better than", "worse": "is worse than", "equivalent": "is equivalent to"}
    link = links.get(verdict.verdict, "is not shown to differ from")
    facts = []
    if verdict.difference is not None:
        facts.append(f"difference {measure.signed(verdict.difference)}{measure.unit_of_difference}")
    if verdict.interval is not None:
        facts.append(f"{percent(summary.confidence)} interval {measure.interval(verdict.interval)}")
    if verdict.margin is not None:
        facts.append(f"margin {measure.number(verdict.margin)}")
    facts.append(verdict.reason)
    if by_margin:
        sign = 1 if measure.record.higher_is_better else -1
        ahead = verdict.a if sign * (verdict.difference or 0.0) > 0 else verdict.b
        chance = "probability" if summary.method == "bayes" else "adjusted p"
        facts.append(f"{chance} {verdict.p_behind_adjusted:.2g} of {ahead} being worse by the margin or more")
    return f"{verdict.a} {link} {verdict.b} in {measure.label} ({', '.join(facts)})."


def _find_remedy(verdict: Verdict, summary: Summary) -> str:
    if verdict.verdict != "inconclusive":
        return "This is settled: more replicates will hardly change it."
    if verdict.replicates < MIN_REPLICATES:
        return f"A verdict takes {MIN_REPLICATES} {summary.runs} or more."
    if verdict.needed is None:
        return ""
    return f"To settle it: {verdict.needed.text} more replicates on the same test images (80% power)."
