"""The answers in plain sentences that a stranger understands, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.analysis.measure import Measure, join_names, percent
from bakeoff.analysis.pairs import MIN_REPLICATES
from bakeoff.analysis.results import ArmSummary, BlockAnswer, Verdict

_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What there is to say of one block.

    Attributes:
        best: None when no trial is done.
        others: the other arms with a score, best mean first.
        missing: arms without a trial done.
        against: arm -> verdict of `best` relative to it, for every one of `others`.
        failures: how often its arms failed and what that means, in sentences; empty where no trial failed.
        margin, confidence: as declared by the study.
        runs: what is compared one by one: "replicates" or "folds".
    """

    block: str
    measure: Measure
    best: ArmSummary | None
    others: Sequence[ArmSummary]
    missing: Sequence[str]
    against: Mapping[str, Verdict]
    failures: str
    margin: float | None
    confidence: float
    runs: str = "replicates"

    def those(self, *words: str) -> list[ArmSummary]:
        """Return the other arms on which `best` has one of these verdicts."""
        return [arm for arm in self.others if self.against[arm.arm].verdict in words]


def write_answer(standing: Standing) -> str:
    """Write one block's answer: who is better than whom, by how much, and how sure that is."""
    best = standing.best
    if best is None:
        return place(standing, "there is no answer: no trial is finished.")
    if not standing.others:
        sentence = _alone(standing, best)
    elif all(verdict.replicates < MIN_REPLICATES for verdict in standing.against.values()):
        sentence = _too_few(standing, best)
    elif len(standing.those("better")) == len(standing.others):
        sentence = _clear(standing, best)
    elif standing.those("better"):
        sentence = _partly(standing, best)
    else:
        sentence = _level(standing, best)
    return place(standing, sentence) + describe_losses(standing)


def write_overall(answers: Sequence[BlockAnswer]) -> str:
    """Write one sentence over several blocks: who is never shown to be worse, who is most often best.

    A count over blocks, not a test. Empty for fewer than two blocks with an answer.
    """
    answered = [answer for answer in answers if answer.best is not None]
    if len(answered) < 2:
        return ""
    wins: dict[str, int] = {}
    beaten: set[str] = set()
    for answer in answered:
        wins[str(answer.best)] = wins.get(str(answer.best), 0) + 1
        beaten |= {*answer.worse, *answer.missing}
    names = dict.fromkeys(name for a in answered for name in (str(a.best), *a.not_worse, *a.worse))
    unbeaten = [name for name in names if name not in beaten]
    most = max(wins.values())
    leaders = [name for name in names if wins.get(name) == most]
    if not unbeaten:
        first = f"No arm is among the best in all {len(answered)} blocks"
    elif len(unbeaten) == len(names):
        first = f"Over {len(answered)} blocks no arm is shown to be worse than a block's best"
    else:
        first = f"In none of {len(answered)} blocks shown to be worse than the best: {join_names(unbeaten)}"
    return f"{first}. Most often best: {join_names(leaders)} ({most} of {len(answered)})."


def write_pairing(verdicts: Sequence[Verdict]) -> str:
    """Say whether comparing replicate by replicate paid: how far the scores of two arms rise and fall together.

    Of two arms with the same spread, differences have sqrt(1 - correlation) times the spread that unpaired scores would
    have. The median over pairs is reported: one pair's correlation over few replicates says little. Empty where no pair
    has one.
    """
    correlations = sorted(v.correlation for v in verdicts if v.correlation is not None)
    if not correlations:
        return ""
    middle = len(correlations) // 2
    median = (correlations[middle] + correlations[~middle]) / 2
    runs = "replicates" if verdicts[0].num_folds is None else "folds"
    pairs = f", the median of {len(correlations)} pairs" if len(correlations) > 1 else ""
    measured = f"Over {runs}, the scores of two arms correlate by {median:.2f}{pairs}"
    if median < 0.1:
        return f"{measured}: comparing them one by one bought nothing."
    return f"{measured}: comparing them one by one narrows intervals by {100 * (1 - (1 - median) ** 0.5):.0f}%."


def _alone(standing: Standing, best: ArmSummary) -> str:
    replicates = f"mean of {best.replicates} {standing.runs}" if best.replicates > 1 else f"one {standing.runs[:-1]}"
    score = f"{spell_score(standing, best)} {standing.measure.label}"
    return f"{best.arm} reaches {score} ({replicates}); there is nothing to compare it with."


def _too_few(standing: Standing, best: ArmSummary) -> str:
    second = standing.others[0]
    return (
        f"there is no verdict under {MIN_REPLICATES} {standing.runs}: {best.arm} is ahead with "
        f"{spell_score(standing, best)} "
        f"{standing.measure.label}, {second.arm} follows with {spell_score(standing, second)}, "
        "which may well be chance."
    )


def _clear(standing: Standing, best: ArmSummary) -> str:
    others = standing.others
    if len(others) > _MOST_NAMED:
        names = f"all {len(others)} other arms"
        scores = _range(standing, others)
    else:
        names = join_names([arm.arm for arm in others])
        scores = join_names([spell_score(standing, arm) for arm in others])
    return (
        f"{best.arm} is better than {names} ({standing.measure.label} {spell_score(standing, best)} against {scores})."
    )


def _partly(standing: Standing, best: ArmSummary) -> str:
    return (
        f"{best.arm} is ahead with {spell_score(standing, best)} {standing.measure.label}. "
        f"It is better than {name_arms(standing, standing.those('better'))}, {_not_better(standing)}"
    )


def _level(standing: Standing, best: ArmSummary) -> str:
    equivalent = standing.those("equivalent")
    if len(equivalent) == len(standing.others):
        names = "all arms" if len(equivalent) > 1 else f"{best.arm} and {equivalent[0].arm}"
        margin = standing.measure.distance(standing.margin or 0.0)
        return (
            f"{names} are equivalent: within {margin} of the best, {best.arm}, "
            f"at {spell_score(standing, best)} {standing.measure.label}."
        )
    also = f" It is equivalent to {name_arms(standing, equivalent)}." if equivalent else ""
    return (
        f"no arm is shown to be better: the best, {best.arm} ({spell_score(standing, best)} {standing.measure.label}), "
        f"{_lead(standing)}.{also}"
    )


def _not_better(standing: Standing) -> str:
    unsettled, equivalent = standing.those("inconclusive", "worse"), standing.those("equivalent")
    parts = []
    if equivalent:
        parts.append(f"equivalent to {name_arms(standing, equivalent)}")
    if unsettled:
        parts.append(f"not shown to be better than {name_arms(standing, unsettled)}: it {_lead(standing)}")
    return f"but {', and '.join(parts)}."


def _lead(standing: Standing) -> str:
    """Say by how much the best leads the first arm it is not shown to differ from."""
    doubtful = standing.those("inconclusive", "worse")
    verdict = standing.against[doubtful[0].arm]
    rival = verdict.b if len(standing.others) == 1 or len(doubtful) == 1 else f"the nearest, {verdict.b},"
    if verdict.difference is None:
        return f"has no replicate in common with {verdict.b}"
    if float(standing.measure.number(verdict.difference)) == 0:
        lead = f"is level with {verdict.b}"
    else:
        lead = f"leads {rival} by {standing.measure.distance(verdict.difference)}"
    return f"{lead}{_uncertainty(standing, verdict)}"


def _uncertainty(standing: Standing, verdict: Verdict) -> str:
    if verdict.interval is None:
        constant = verdict.sd == 0
        return f" (the same in all {verdict.replicates} {standing.runs}, so not testable by spread)" if constant else ""
    low, high = verdict.interval
    if not standing.measure.record.higher_is_better:
        low, high = -high, -low
    text = f"{percent(standing.confidence)} interval {standing.measure.interval((low, high))}"
    if low > 0 and verdict.p_adjusted is not None:
        # The interval looks at this pair alone and excludes zero; say why that is not enough.
        text += f" for this pair alone, but p {verdict.p_adjusted:.2g} when adjusted for all pairs"
    return f" ({text})"


def name_arms(standing: Standing, arms: Sequence[ArmSummary]) -> str:
    """Name arms with their scores, or count them with the range of their scores where they are many."""
    if len(arms) > _MOST_NAMED:
        return f"{len(arms)} arms ({_range(standing, arms)})"
    return join_names([f"{arm.arm} ({spell_score(standing, arm)})" for arm in arms])


def _range(standing: Standing, arms: Sequence[ArmSummary]) -> str:
    low, high = sorted((arms[0], arms[-1]), key=lambda arm: _mean(standing, arm))
    return f"{spell_score(standing, low)} to {spell_score(standing, high)}"


def spell_score(standing: Standing, arm: ArmSummary) -> str:
    """Spell an arm's mean, with as many decimals as tell the best two apart."""
    leading = {_mean(standing, standing.best or arm), *(_mean(standing, other) for other in standing.others[:1])}
    decimals = 1 if len({standing.measure.value(mean, 1) for mean in leading}) == len(leading) else 2
    return standing.measure.value(_mean(standing, arm), decimals)


def _mean(standing: Standing, arm: ArmSummary) -> float:
    return arm.on(standing.measure.split)[standing.measure.record.name].mean


def place(standing: Standing, sentence: str) -> str:
    """Name the block in front of the sentence, or start it with a capital unless an arm's name stands there."""
    if standing.block:
        return f"On {standing.block}, {sentence}"
    if standing.best and sentence.startswith(standing.best.arm):
        return sentence
    return sentence[:1].upper() + sentence[1:]


def describe_losses(standing: Standing) -> str:
    """Say which arms have no trial done and how often arms failed; empty where nothing is lost."""
    text = f" No trial of {join_names(list(standing.missing))} is finished." if standing.missing else ""
    return f"{text} {standing.failures}" if standing.failures else text
