"""The answers in plain sentences that a stranger understands, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bakeoff.stats.failures import clopper_pearson
from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.results import ArmSummary, BlockAnswer, Rules, Verdict
from bakeoff.stats.variance import FEW_GROUPS, FEW_IMAGES, Scope

_MOST_NAMED = 3

_RARE_COLLAPSE = 0.05
"""A collapse that is rarer than this is not spoken of where none was seen."""

_COLLAPSE = "to under half of the arm's median"

POPULATIONS: Mapping[Scope, str] = {
    "images": "on new images of this kind",
    "folds": "on new training and test images of this kind",
}
"""What a verdict's sentence says it speaks of; in scope "seeds" it names the images at hand."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What there is to say of one block.

    Attributes:
        best: None when no trial is done.
        others: the other arms with a score, best mean first.
        missing: arms without a trial done.
        against: arm -> verdict of `best` relative to it, for every one of `others`.
        caveats: sentences that the answer ends with: how often arms failed, what selection has seen.
        runs: what is compared one by one: "replicates" or "folds".
        elsewhere: verdicts on pairs of other arms.
    """

    block: str
    measure: Measure
    rules: Rules
    best: ArmSummary | None
    others: Sequence[ArmSummary]
    missing: Sequence[str]
    against: Mapping[str, Verdict]
    caveats: Sequence[str]
    runs: str = "replicates"
    elsewhere: Sequence[Verdict] = ()

    @property
    def compared(self) -> list[Verdict]:
        """Verdicts that rest on anything: arms without a replicate in common (one failed, in whole) have no scope."""
        return [verdict for verdict in self.against.values() if verdict.replicates]

    @property
    def population(self) -> str:
        """What the verdicts speak of, as the words after one: the narrowest of any, so that none says too much."""
        scopes = {verdict.scope for verdict in self.compared}
        if scopes == {"images"}:
            is_grouped = any(v.spread is not None and v.spread.num_grouped is not None for v in self.compared)
            return "on new groups of images of this kind" if is_grouped else POPULATIONS["images"]
        if "folds" in scopes:
            return POPULATIONS["folds"]
        numbers = {verdict.num_images for verdict in self.compared}
        number = numbers.pop() if len(numbers) == 1 else None
        return f"on these {'' if number is None else f'{number:,} '}{self.measure.images}"

    def those(self, *words: str) -> list[ArmSummary]:
        """Return the other arms on which `best` has one of these verdicts; none without a best."""
        return [arm for arm in self.others if self.best and self.against[arm.arm].verdict in words]


def write_answer(standing: Standing) -> str:
    """Write one block's answer: who is better than whom, by how much, and how sure that is."""
    best = standing.best
    if best is None:
        return place(standing, "there is no answer: no trial has a score.")
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
    return place(standing, sentence) + describe_limits(standing) + describe_losses(standing)


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
        first = f"Best, or not shown to be worse, in each of {len(answered)} blocks: {join_names(unbeaten)}"
    return f"{first}. Most often with the highest mean: {join_names(leaders)} ({most} of {len(answered)})."


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
    pairs = (
        f", the median of {len(correlations)} pairs ({correlations[0]:.2f} to {correlations[-1]:.2f})"
        if len(correlations) > 1
        else ""
    )
    whom = "such arms" if len(correlations) > 1 else "them"
    measured = f"Over {runs}, the scores of two arms correlate by {median:.2f}{pairs}"
    if median < 0.1:
        return f"{measured}: pairing {whom} gains nothing."
    return f"{measured}: pairing {whom} narrows intervals by {100 * (1 - (1 - median) ** 0.5):.0f}%."


def _alone(standing: Standing, best: ArmSummary) -> str:
    replicates = f"mean of {best.replicates} {standing.runs}" if best.replicates > 1 else f"one {standing.runs[:-1]}"
    score = f"{format_score(standing, best)} {standing.measure.label}"
    return f"{best.arm} reaches {score} ({replicates}); there is nothing to compare it with."


def _too_few(standing: Standing, best: ArmSummary) -> str:
    second = standing.others[0]
    return (
        f"there is no verdict under {MIN_REPLICATES} {standing.runs}: {best.arm} is ahead with "
        f"{format_score(standing, best)} "
        f"{standing.measure.label}, {second.arm} follows with {format_score(standing, second)}; so few cannot show how "
        "much of that is chance."
    )


def _clear(standing: Standing, best: ArmSummary) -> str:
    others = standing.others
    if len(others) > _MOST_NAMED:
        names = f"all {len(others)} other arms"
        scores = _range(standing, others)
    else:
        names = join_names([arm.arm for arm in others])
        scores = join_names([format_score(standing, arm) for arm in others])
    return (
        f"{best.arm} is better than {names} {standing.population} ({standing.measure.label} "
        f"{format_score(standing, best)} against {scores}).{_say_margin(standing)}"
    )


def _say_margin(standing: Standing) -> str:
    """Say of which arms the best is shown to be ahead by more than the margin; empty without one."""
    if standing.rules.margin is None:
        return ""
    ahead = standing.those("better")
    far = [arm for arm in ahead if standing.against[arm.arm].beyond_margin]
    margin = f"the margin of {standing.measure.distance(standing.rules.margin)}"
    lead = "The lead"
    if len(ahead) < len(standing.others):  # the sentence before speaks of the lead over another arm
        lead += " over " + (f"{len(ahead)} arms" if len(ahead) > _MOST_NAMED else join_names([a.arm for a in ahead]))
    if len(far) == len(ahead):
        return f" {lead} is shown to exceed {margin}{' in each' if len(ahead) > 1 else ''}."
    if not far:
        return f" {lead} is not shown to exceed {margin}."
    return f" The lead is shown to exceed {margin} over {name_arms(standing, far)} only."


def _partly(standing: Standing, best: ArmSummary) -> str:
    return (
        f"{best.arm} is ahead with {format_score(standing, best)} {standing.measure.label}. "
        f"It is better than {name_arms(standing, standing.those('better'))} {standing.population}, "
        f"{_not_better(standing)}{_say_margin(standing)}"
    )


def _level(standing: Standing, best: ArmSummary) -> str:
    equivalent = standing.those("equivalent")
    if len(equivalent) == len(standing.others):
        names = "all arms" if len(equivalent) > 1 else f"{best.arm} and {equivalent[0].arm}"
        margin = standing.measure.distance(standing.rules.margin or 0.0)
        return (
            f"{names} are equivalent {standing.population}: within {margin} of the best, {best.arm}, "
            f"at {format_score(standing, best)} {standing.measure.label}."
        )
    also = f" It is equivalent to {name_arms(standing, equivalent)}." if equivalent else ""
    return (
        f"no arm is shown to be best {standing.population}: {best.arm} ({format_score(standing, best)} "
        f"{standing.measure.label}) {_lead(standing)}.{also}{_say_known(standing, best)}"
    )


def _say_known(standing: Standing, best: ArmSummary) -> str:
    """Say what is known although the best is not: whom it led in every run, and which other pairs are settled."""
    led = [arm for arm in standing.those("inconclusive") if _leads_everywhere(standing, best, arm)]
    known = ""
    if led:
        runs = f"all {standing.against[led[0].arm].replicates} {standing.runs}"
        known = f" It is ahead of {_name_led(standing, led)} in {runs}."
    settled = [verdict for verdict in standing.elsewhere if verdict.verdict in ("better", "worse")]
    if not settled:
        return known
    if len(settled) > _MOST_NAMED:
        return f"{known} Of the pairs of other arms, {len(settled)} of {len(standing.elsewhere)} are settled."
    named = [f"{v.a} is better than {v.b}" if v.verdict == "better" else f"{v.b} is better than {v.a}" for v in settled]
    return f"{known} Of the other arms, {join_names(named)}."


def _leads_everywhere(standing: Standing, best: ArmSummary, arm: ArmSummary) -> bool:
    """Return whether the best has the better score in every run of both: in enough of them to be worth saying."""
    ours, theirs = (each.fold_scores or each.scores for each in (best, arm))
    common = [run for run in ours if run in theirs]
    sign = 1 if standing.measure.record.higher_is_better else -1
    verdict = standing.against[arm.arm]
    enough = verdict.unpaired is None and len(common) >= MIN_REPLICATES and len(common) == verdict.replicates
    return enough and all(sign * ours[run] > sign * theirs[run] for run in common)  # type: ignore[index]


def _name_led(standing: Standing, led: Sequence[ArmSummary]) -> str:
    if len(led) == len(standing.others) > 1:
        return f"{'both' if len(led) == 2 else f'all {len(led)}'} other arms"
    return f"{len(led)} arms" if len(led) > _MOST_NAMED else join_names([arm.arm for arm in led])


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
        # An arm that never succeeded has a score, chance level, and stands first where all others score less.
        failed = standing.best is not None and not standing.best.replicates and not doubtful[0].replicates
        return (
            f"failed in every trial, as did {verdict.b}" if failed else f"has no replicate in common with {verdict.b}"
        )
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
    text = f"{percent(standing.rules.confidence)} interval {standing.measure.interval((low, high))}"
    if low > 0 and verdict.p_adjusted is not None:
        # The interval looks at this pair alone and excludes zero; say why that is not enough.
        text += f" for this pair alone, but p {verdict.p_adjusted:.2g} adjusted for all pairs and looks"
    return f" ({text})"


def name_arms(standing: Standing, arms: Sequence[ArmSummary]) -> str:
    """Name arms with their scores, or count them with the range of their scores where they are many."""
    if len(arms) > _MOST_NAMED:
        return f"{len(arms)} arms ({_range(standing, arms)})"
    return join_names([f"{arm.arm} ({format_score(standing, arm)})" for arm in arms])


def _range(standing: Standing, arms: Sequence[ArmSummary]) -> str:
    low, high = sorted((arms[0], arms[-1]), key=lambda arm: _mean(standing, arm))
    return f"{format_score(standing, low)} to {format_score(standing, high)}"


def format_score(standing: Standing, arm: ArmSummary) -> str:
    """Format an arm's mean, with as many decimals as tell the best two apart."""
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


def describe_limits(standing: Standing) -> str:
    """Say what verdicts cannot speak of, though a reader may think so; empty where nothing is to be said."""
    verdicts = standing.against.values()
    if not verdicts or all(verdict.replicates < MIN_REPLICATES for verdict in verdicts):
        return ""
    bayes = ""
    if standing.rules.method == "bayes":
        bayes = (
            f" Each verdict is a posterior probability of {percent(standing.rules.confidence)} or more for its own "
            "pair: among many equal arms one will look better."
        )
    return f"{bayes}{_say_narrowed(standing)}{_say_collapses(standing)}"


def _say_narrowed(standing: Standing) -> str:
    if standing.measure.split == "validation" and standing.measure.record.is_column:
        return (
            f" By its name, {standing.measure.label} is of validation images: if these also chose epochs or settings, "
            "verdicts on them are optimistic."
        )
    if standing.measure.split == "validation":
        return (
            " This is no final test: the validation images also chose which epochs to keep, so verdicts on them are "
            "optimistic and hold for these images alone."
        )
    if standing.rules.scope == "images" and any(verdict.scope == "seeds" for verdict in standing.compared):
        return " It says nothing of other images: what single images contribute is not stored for all trials."
    few_groups = _count_few_groups(standing)
    if few_groups:
        plural = "" if few_groups == 1 else "s"
        return f" The test images come in only {few_groups} group{plural}, so what is said of new ones is rough."
    few = [v.spread.num_telling for v in standing.against.values() if v.spread is not None and v.scope == "images"]
    if few and min(few) < FEW_IMAGES:
        grouped = any(v.spread is not None and v.spread.num_grouped is not None for v in standing.against.values())
        unit = "group of test images" if grouped else "test image"
        many = "groups of test images" if grouped else "test images"
        number = f"1 {unit}" if min(few) == 1 else f"{min(few)} {many}"
        if len(standing.others) == 1:
            return f" The arms differ on only {number}, so the interval may be too wide."
        return f" Some arms differ on only {number}, so their intervals may be too wide."
    return ""


def _count_few_groups(standing: Standing) -> int:
    """Return the number of groups of test images, if they come in groups that are too few; else 0."""
    spreads = [v.spread for v in standing.against.values() if v.spread is not None and v.scope == "images"]
    numbers = [spread.num_images for spread in spreads if spread.num_grouped is not None]
    return min(numbers) if numbers and min(numbers) < FEW_GROUPS else 0


def _say_collapses(standing: Standing) -> str:
    """Say how often replicates collapsed, or how often they still may though none did.

    A difference of means is at the mercy of a rare collapse that few replicates do not show: in 10 seeds of 100 that
    lose 50 points, 5 replicates hold none in 59 of 100 studies. Only a count can bound it.
    """
    if not standing.measure.record.is_share or standing.best is None or not standing.those("better", "equivalent"):
        return ""
    compared = [standing.best, *standing.those("better", "equivalent")]
    counts = [(arm, sum(is_collapsed(arm.trained_scores).values()), len(arm.trained_scores)) for arm in compared]
    counts = [(arm, number, n) for arm, number, n in counts if n]
    collapsed = [
        f"{arm.arm} in {number} of {n} ({_percent_interval(number, n, standing.rules.confidence)})"
        for arm, number, n in counts
        if number
    ]
    if collapsed:
        return f" Replicates that collapsed, {_COLLAPSE}, are part of this: {join_names(collapsed)}."
    most = {n: 1 - (1 - standing.rules.confidence) ** (1 / n) for _, _, n in counts}
    if max(most.values()) < _RARE_COLLAPSE:
        return ""
    if len(most) == 1:
        # Beside an arm that failed, "none" would seem to be untrue.
        failed = any(arm.failed for arm in (standing.best, *standing.others))
        whose = f" of {join_names([arm.arm for arm, _, _ in counts])}" if failed else ""
        (num_trained, rate), *_ = most.items()
        clear = f"none of {num_trained} did, but a rate of up to {100 * rate:.0f}% is not ruled out"
        return f" This holds for {standing.runs}{whose} that do not collapse ({_COLLAPSE}): {clear}."
    bounds = [
        f"{arm.arm} in none of {n} that finished (up to {100 * most[n]:.0f}% not ruled out)" for arm, _, n in counts
    ]
    return f" This holds for {standing.runs} that do not collapse ({_COLLAPSE}), and none did: {join_names(bounds)}."


def is_collapsed(scores: Mapping[tuple[int, int], float]) -> dict[tuple[int, int], bool]:
    """Tell for each replicate, or fold, whether its score, a share, is under half of the arm's median."""
    if not scores:
        return {}
    bar = median(scores.values()) / 2
    return {replicate: score < bar for replicate, score in scores.items()}


def _percent_interval(number: int, n: int, confidence: float) -> str:
    low, high = clopper_pearson(number, n, confidence)
    return f"{percent(confidence)} interval of the rate {100 * low:.0f}% to {100 * high:.0f}%"


def describe_losses(standing: Standing) -> str:
    """Say which arms have no trial done, and the caveats; empty where nothing is lost."""
    text = f" No trial of {join_names(list(standing.missing))} has a score." if standing.missing else ""
    return " ".join([text, *standing.caveats])
