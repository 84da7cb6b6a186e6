"""Replicates that failed or diverged: an outcome of their arm, not a gap in its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bakeoff.registry import bind
from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.metrics import METRICS, MetricRecord
from bakeoff.stats.results import ArmSummary, FailedMode, TrialResult

_MOST_NAMED = 3


def chance_level(record: MetricRecord, num_classes: int) -> float:
    """Return what guessing scores on classes of equal size, in the metric's unit.

    Shares (accuracy, macro precision, recall and F1): 1 / classes, by classes named at random. Loss: ln(classes), by
    equal probabilities. It is the same for every image, so a metric's contribution per image has this value too.

    Raises:
        ValueError: no classes.
    """
    if num_classes < 1:
        raise ValueError(f"chance level needs a class, not {num_classes}")
    return float(bind(record.chance)(num_classes))


def count_as_chance(result: TrialResult, num_classes: int, scored: Mapping[str, Iterable[str]]) -> TrialResult:
    """Return a failed trial with every metric at chance level; it stays failed.

    Args:
        result: the failed trial.
        num_classes: of its images.
        scored: split -> metrics on demand that the other trials have there.
    """
    always = [record for record in METRICS if record.always]
    metrics: dict[str, Mapping[str, float]] = {}
    for split, names in scored.items():
        records = [*always, *(record for name in names if (record := METRICS.get(name)) and not record.always)]
        metrics[split] = {record.name: chance_level(record, num_classes) for record in records}
    return replace(result, metrics=metrics)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a rate (Clopper and Pearson 1934), two-sided: it holds at least `confidence`.

    Args:
        successes: 0..n.
        n: independent trials; none gives (0, 1).
        confidence: strictly between 0 and 1.

    Raises:
        ValueError: successes or confidence out of range.
    """
    if not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"successes must lie in 0..n and confidence in 0..1, not {successes} of {n}, {confidence}")
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def write_failures(
    arms: Sequence[ArmSummary], mode: FailedMode, measure: Measure, num_classes: int | None, confidence: float
) -> str:
    """Say how often the arms of a block failed, with an interval, and what that means for its verdicts.

    Args:
        arms: all arms of the block.
        mode: what a failed trial counts as.
        measure: what verdicts are of.
        num_classes: None where unknown: failed trials are then left out whatever the mode.
        confidence: of the intervals.

    Returns:
        Two sentences, a third where arms never succeeded; empty where no trial failed.
    """
    failed = sorted((arm for arm in arms if arm.failed), key=lambda arm: -arm.failed)
    if not failed:
        return ""
    # One more arm takes no more words than "1 more arm".
    named = failed if len(failed) <= _MOST_NAMED + 1 else failed[:_MOST_NAMED]
    rates = [_write_rate(arm, confidence, is_first=not number) for number, arm in enumerate(named)]
    if len(failed) > len(named):
        rest = sum(arm.failed for arm in failed[len(named) :])
        rates.append(f"{len(failed) - len(named)} more arms in {rest}")
    if mode == "worst" and num_classes is not None:
        chance = measure.value(chance_level(measure.record, num_classes), 1)
        counted = [arm for arm in failed if not arm.crashed]
        counts = f"A failed trial counts as chance level, {chance} {measure.label}." if counted else ""
        meaning = " ".join(filter(None, (counts, _name_never_done(counted), _name_crashed(failed))))
    else:
        meaning = "Failed trials are left out, so the verdicts hold only where training succeeds."
    return f"{join_names(rates)}. {meaning}"


def _name_never_done(failed: Sequence[ArmSummary]) -> str:
    """Say which arms get no verdict against each other, for none of their trials succeeded; empty under two of them."""
    never = [arm.arm for arm in failed if not arm.replicates]
    if len(never) < 2:
        return ""
    names = _name_few(never, f"the {len(never)} arms of which every trial failed")
    between = "Between" if len(never) == 2 else "Among"
    return f"{between} {names} there is no verdict: none of their trials succeeded."


def _name_crashed(failed: Sequence[ArmSummary]) -> str:
    """Say which arms have no score, for every trial of theirs crashed; empty without one."""
    crashed = [arm.arm for arm in failed if arm.crashed]
    if not crashed:
        return ""
    names = _name_few(crashed, f"{len(crashed)} arms")
    return f"There is no verdict on {names}: every trial crashed, which says nothing of the recipe."


def _name_few(names: list[str], many: str) -> str:
    return join_names(names) if len(names) <= _MOST_NAMED + 1 else many


def _write_rate(arm: ArmSummary, confidence: float, *, is_first: bool) -> str:
    trials = arm.failed + arm.replicates
    low, high = (f"{100 * bound:.0f}" for bound in clopper_pearson(arm.failed, trials, confidence))
    rate = f"{100 * arm.failed / trials:.0f}%"
    if not is_first:
        return f"{arm.arm} in {arm.failed} of {trials} ({rate}, {low} to {high}%)"
    interval = f"{percent(confidence)} interval {low} to {high}%"
    return f"{arm.arm} failed in {arm.failed} of {trials} trials ({rate}, {interval})"
