"""What a block says of its factors, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bakeoff.stats.factor_effects import FactorEffects, FactorRange, Interaction, MainEffect
from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.results import Rules, Verdict
from bakeoff.stats.wording import POPULATIONS

ALIASED = (
    "Only a part of all combinations was run: any of these differences may be that of an interaction it is aliased "
    "with."
)
"""What a finding of a design of resolution III, or of Plackett and Burman, has to be read with."""

_MOST_NAMED = 5


def write_choices(found: FactorEffects, measure: Measure) -> str:
    """Say which choices matter, the most important first, and which are not settled.

    "Whatever" stands where the sign is the same in all cells and no interaction is shown, else "on average over".
    Empty where nothing can be claimed.
    """
    if found.screen is not None:
        return _write_screen(found, measure)
    told = [_write_factor(found, each, measure) for each in found.ranges if each.is_shown]
    small = [each.factor for each in found.ranges if _is_equivalent(found, each)]
    open_ = [each.factor for each in found.ranges if not each.is_shown and each.factor not in small]
    parts = _join_averages(told)
    if small:
        parts.append(f"{join_names(small)} {'is' if len(small) == 1 else 'are'} too small to matter")
    if open_:
        names = join_names(open_) if len(open_) <= _MOST_NAMED else f"{len(open_)} of {len(found.ranges)} choices"
        parts.append(f"{names} {'is' if len(open_) == 1 else 'are'} not settled")
    if not parts:
        return ""
    aliased = f" {ALIASED}" if told and not found.design.has_clear_choices else ""
    return f"{'; '.join(parts)}.{aliased}"


def _is_equivalent(found: FactorEffects, choice: FactorRange) -> bool:
    return all(effect.verdict.verdict == "equivalent" for effect in found.effects_of(choice.factor))


def _join_averages(told: Sequence[tuple[str, str]]) -> list[str]:
    """Join each finding with what it is averaged over; what is the same for all is said once, after the last."""
    if len(told) > 1 and len({over for _, over in told}) == 1:
        return [*(lead for lead, _ in told[:-1]), f"{told[-1][0]}, each {told[-1][1]}"]
    return [f"{lead} {over}" for lead, over in told]


def _write_factor(found: FactorEffects, choice: FactorRange, measure: Measure) -> tuple[str, str]:
    """Say which level leads which others, from the best level that leads any, and what this is averaged over."""
    settled = [_turn(effect) for effect in found.effects_of(choice.factor) if _is_settled(effect.verdict)]
    sign = 1 if measure.record.higher_is_better else -1
    best = max((effect.verdict.a for effect in settled), key=lambda level: sign * choice.means[level])
    leads = sorted((e for e in settled if e.verdict.a == best), key=lambda e: abs(e.verdict.difference or 0.0))
    over = join_names([f"over {e.verdict.b} by {measure.distance(e.verdict.difference or 0.0)}" for e in leads])
    return f"{choice.factor}, {best} {over}", _average_over(leads[0], all(effect.is_even for effect in leads))


def _is_settled(verdict: Verdict) -> bool:
    return verdict.verdict in ("better", "worse")


def _turn(effect: MainEffect) -> MainEffect:
    """Return an effect with the better level on the left."""
    verdict = effect.verdict
    return effect if verdict.verdict == "better" else replace(effect, verdict=verdict.seen_from(verdict.b))


def _average_over(effect: MainEffect, is_even: bool) -> str:
    if is_even:
        return f"whatever the {effect.others[0]}" if len(effect.others) == 1 else "whatever the other choices"
    if len(effect.others) == 1:
        return f"on average over the levels of {effect.others[0]}"
    return "on average over the other choices"


def _write_screen(found: FactorEffects, measure: Measure) -> str:
    """Say what Lenth's method names; that is no verdict."""
    assert found.screen is not None
    screen, named = found.screen, found.screen.standing_out
    levels = {factor.name: factor.levels for factor in found.design.factors}
    told = [
        f"{name} ({levels[name][1]} minus {levels[name][0]}: {measure.signed(screen.effects[name])}"
        f"{measure.unit_of_difference})"
        for name in named
    ]
    verb = "stand out" if len(named) > 1 else "stands out"
    first = f"{join_names(told)} {verb}" if told else "no choice stands out"
    runs = "one replicate" if found.replicates == 1 else f"{found.replicates} replicates"
    return (
        f"with {runs} there is no verdict; by Lenth's pseudo standard error {first} (limit "
        f"{measure.distance(screen.limit)})."
    )


def write_interactions(found: FactorEffects, measure: Measure) -> str:
    """Name the interactions that are shown; if none is, the largest with its interval. Empty without any."""
    largest = found.largest_interactions
    if not largest:
        return ""
    shown = [each for each in found.interactions if each.is_shown]
    shown.sort(key=lambda each: -abs(each.verdict.difference or 0.0))
    if not shown:
        each = largest[0]
        return f"No interaction is shown; the largest is {_write_interaction(each, measure)}."
    told = [_write_interaction(each, measure) for each in shown[:_MOST_NAMED]]
    more = f"; and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    noun = "interaction is" if len(shown) == 1 else "interactions are"
    return f"{len(shown)} {noun} shown: {'; '.join(told)}{more}."


def _write_interaction(each: Interaction, measure: Measure) -> str:
    """Say how a difference of levels changes: "adam minus sgd is 0.50 points higher with he than with glorot"."""
    (a, b), (c, d) = each.levels
    difference, interval = each.verdict.difference or 0.0, each.verdict.interval
    ends = "" if interval is None else f" (interval {measure.interval(interval)})"
    side = "higher" if difference >= 0 else "lower"
    return f"{name_pair(each)}: {a} minus {b} is {measure.distance(difference)} {side} with {c} than with {d}{ends}"


def name_pair(each: Interaction) -> str:
    """Return the two factors of an interaction: "optimizer x initializer"."""
    return " x ".join(each.factors)


def write_assumptions(found: FactorEffects, rules: Rules) -> str:
    """Say what levels are averaged over, what the verdicts speak of, and what they are corrected for."""
    scopes = {effect.verdict.scope for effect in found.effects if effect.verdict.replicates}
    where = POPULATIONS["images"] if scopes == {"images"} else "on these test images"
    where = POPULATIONS["folds"] if scopes == {"folds"} else where
    averaged = (
        "Each level is averaged over the levels of the other choices in this study, not over levels it does not have; "
        f"verdicts speak of new seeds {where}."
    )
    if rules.method == "bayes":
        return averaged
    families = f"the {len(found.effects)} differences of levels are one family"
    if found.interactions:
        number = len(found.interactions)
        families += f" and {'the interaction' if number == 1 else f'the {number} interactions'} another, each"
    chance = percent(1 - rules.confidence)
    return f"{averaged} In a block {families} with a chance of at most {chance} of any false verdict (Holm)."


def write_gaps(found: FactorEffects) -> str:
    """Say which arms have no score and what was left out for it; empty where nothing is missing."""
    if not found.missing:
        return ""
    names = join_names(list(found.missing[:_MOST_NAMED]))
    more = f" and {len(found.missing) - _MOST_NAMED} more" if len(found.missing) > _MOST_NAMED else ""
    verb = "has" if len(found.missing) == 1 else "have"
    first = f"{names}{more} {verb} no score"
    if not found.effects:
        return f"{first}, so nothing is claimed of single choices: no complete part of the design is left."
    left_out = join_names([f"{level} of {factor}" for factor, level in found.dropped])
    return f"{first}: {left_out} {'is' if len(found.dropped) == 1 else 'are'} left out of what is said of choices."


def list_aliases(found: FactorEffects) -> Sequence[str]:
    """Return what the effects of a fraction are mixed with, and the assumption that this makes."""
    if not found.design.aliases:
        return ()
    return (
        *found.design.aliases,
        "An effect is the sum of itself and its aliases: verdicts assume that the aliases are negligible.",
    )
