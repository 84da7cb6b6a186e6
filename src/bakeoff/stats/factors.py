"""Crossed axes as a factorial design: main effects, interactions, and which choices matter.

Every arm of crossed axes is a cell: one level of every factor. A level is compared with another as two arms are, but
each is the average of all its cells, replicate by replicate and image by image; so every run informs every factor. What
is found holds for the average over the levels that the study has of the other factors, not over levels it does not
have. An interaction is the comparison of two averages as well: of the two cells on one diagonal with those on the
other.

Within a block all main effects are one family, all interactions another, each corrected as pairs of arms are, with an
error rate of its own beside theirs. Where a fraction of all cells was run, every effect is mixed with its aliases,
which are assumed to be negligible.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.stats.averaged import AveragedArm, average_arms, find_common, keep_replicates
from bakeoff.stats.factor_effects import FactorEffects, FactorRange, Interaction, MainEffect
from bakeoff.stats.factorial import FactorialDesign, complete_design
from bakeoff.stats.family import VerdictWord
from bakeoff.stats.judging import Compare, Judging, compare_all, compare_arms, judge_pairs
from bakeoff.stats.looks import LineLook
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.results import ArmSummary, Rules, Summary, Verdict
from bakeoff.stats.screening import MAX_POOLED_ARMS, LenthScreen, compare_pooled, screen_by_lenth

MIN_CONTRASTS = 7
"""Effects, at least, for Lenth's method: with fewer no median tells noise from effects."""

Arms = Mapping[str, ArmSummary]


def judge_factors(summary: Summary, design: FactorialDesign) -> tuple[FactorEffects, ...]:
    """Judge main effects and interactions of crossed axes, block by block.

    Levels are compared as the study's arms are: by the same metric, split, margin, confidence and scope, fold by fold
    or by a race's sequential p values where it has these. The main effects of a two-level fraction of up to 24 runs use
    the error pooled over its runs. All are two-sided.

    Args:
        summary: what the study's results say.
        design: the cells; its arms are arms of the study.

    Raises:
        ValueError: the design names an arm that the study does not have.
    """
    unknown = [arm for arm in design.cells if arm not in summary.arm_labels]
    if unknown:
        raise ValueError(f"a design names '{unknown[0]}', which is no arm of the study")
    return tuple(_judge_block(summary, design, block) for block in summary.blocks)


def _judge_block(summary: Summary, design: FactorialDesign, block: str) -> FactorEffects:
    found = {arm.arm: arm for arm in summary.arms_of(block)}
    missing = tuple(arm for arm in design.cells if not found[arm].scores)
    used, dropped = complete_design(design, missing)
    common = find_common([found[arm] for arm in used.cells]) if used else ()
    if used is None or not common:
        return _claim_nothing(block, design, missing)
    arms = {label: keep_replicates(found[label], common) for label in used.cells}
    judging = make_judging(summary, block)
    interactions = tuple(_judge_interactions(used, arms, judging)) if used.has_interactions else ()
    effects = tuple(_judge_effects(used, arms, judging, interactions))
    ranges = [_measure_range(used, place, arms, judging, effects) for place in range(len(used.factors))]
    return FactorEffects(
        block=block,
        design=used,
        replicates=len(common),
        missing=missing,
        dropped=dropped,
        ranges=tuple(sorted(ranges, key=lambda each: -each.range)),
        effects=effects,
        interactions=interactions,
        screen=_screen(used, arms, judging) if len(common) < MIN_REPLICATES else None,
    )


def _claim_nothing(block: str, design: FactorialDesign, missing: tuple[str, ...]) -> FactorEffects:
    return FactorEffects(
        block=block, design=design, replicates=0, missing=missing, dropped=(), ranges=(), effects=(), interactions=()
    )


def make_judging(summary: Summary, block: str) -> Judging:
    """Return what decides in a block between averages of arms.

    A look at which arms were seen that the study no longer has still counts all their pairs: leaving out what lost is a
    choice made after a look. Otherwise the correction is for the family at hand alone.
    """
    num_arms = len(summary.arm_labels)
    own = num_arms - 1 if summary.baseline is not None else num_arms * (num_arms - 1) // 2
    return Judging(
        measure=summary.measure,
        rules=summary,
        num_folds=summary.num_folds,
        looks=tuple(_count_dropped(look, block, own) for look in summary.looks),
        test_shares=summary.test_shares,
    )


def _count_dropped(look: LineLook, block: str, own: int) -> LineLook:
    seen = look.num_pairs.get(block, 0)
    return replace(look, num_pairs={block: seen if seen > own else 0})


def _average_level(design: FactorialDesign, arms: Arms, place: int, level: int) -> AveragedArm:
    members = [arms[arm] for arm, cell in design.cells.items() if cell[place] == level]
    return average_arms(members, design.factors[place].levels[level])


def _judge_effects(
    design: FactorialDesign, arms: Arms, judging: Judging, interactions: Sequence[Interaction]
) -> Iterator[MainEffect]:
    places, pairs = [], []
    for place, factor in enumerate(design.factors):
        levels = [_average_level(design, arms, place, level) for level in range(len(factor.levels))]
        for a, b in itertools.combinations(range(len(levels)), 2):
            places.append((place, a, b))
            pairs.append((levels[a], levels[b]))
    compare = _choose_comparison(design)
    for (place, a, b), verdict in zip(places, judge_pairs(pairs, judging, compare), strict=True):
        factor = design.factors[place]
        cells = _differ_by_cell(design, arms, place, a, b) if design.kind == "full" else ()
        yield MainEffect(
            factor=factor.name,
            verdict=strip_verdict(verdict),
            cells=cells,
            is_even=_have_one_sign(cells)
            and not any(_involves(each, factor.name, verdict.a, verdict.b) for each in interactions if each.is_shown),
            others=tuple(design.list_others(place)),
        )


def _choose_comparison(design: FactorialDesign) -> Compare | None:
    """Return how levels are compared: with the error pooled over a small two-level fraction; None as arms are.

    Beyond so many arms, with their own error alone: an effect that depends on the seed has one that more arms do not
    lower.
    """
    if len(design.cells) > MAX_POOLED_ARMS:
        return compare_arms
    return None if design.kind == "full" else compare_pooled


def strip_verdict(verdict: Verdict) -> Verdict:
    """Leave out what is meant of single arms: whether one more run wins, replicates needed, the winner's correction."""
    return replace(
        verdict, superiority=None, superiority_interval=None, difference_corrected=None, needed=None, spread=None
    )


def _differ_by_cell(design: FactorialDesign, arms: Arms, place: int, a: int, b: int) -> tuple[float, ...]:
    """Return the mean difference of two levels in every combination of the other factors."""
    by_cell = {cell: float(np.mean(list(arms[arm].scores.values()))) for arm, cell in design.cells.items()}
    return tuple(
        score - by_cell[*cell[:place], b, *cell[place + 1 :]] for cell, score in by_cell.items() if cell[place] == a
    )


def _have_one_sign(cells: Sequence[float]) -> bool:
    return bool(cells) and (min(cells) > 0 or max(cells) < 0)


def _involves(interaction: Interaction, factor: str, a: str, b: str) -> bool:
    pairs = dict(zip(interaction.factors, interaction.levels, strict=True))
    return factor in pairs and {a, b} == set(pairs[factor])


def _judge_interactions(design: FactorialDesign, arms: Arms, judging: Judging) -> Iterator[Interaction]:
    """Yield the difference of differences of every 2 x 2 of levels, judged as one family.

    Averages of two cells each differ by half of it, so that they are judged by half the margin.
    """
    places, pairs = [], []
    for one, other in itertools.combinations(range(len(design.factors)), 2):
        of_one, of_other = (
            list(itertools.combinations(range(len(design.factors[place].levels)), 2)) for place in (one, other)
        )
        for (a, b), (c, d) in itertools.product(of_one, of_other):
            places.append((one, other, (a, b), (c, d)))
            pairs.append(
                (
                    _average_cells(design, arms, (one, other), ((a, c), (b, d))),
                    _average_cells(design, arms, (one, other), ((a, d), (b, c))),
                )
            )
    rules = judging.rules
    halved = replace(_copy_rules(rules), margin=None if rules.margin is None else rules.margin / 2)
    verdicts = judge_pairs(pairs, replace(judging, rules=halved))
    for (one, other, ab, cd), verdict in zip(places, verdicts, strict=True):
        factors = design.factors[one], design.factors[other]
        levels = [tuple(factor.levels[level] for level in pair) for factor, pair in zip(factors, (ab, cd), strict=True)]
        yield Interaction(
            factors=(factors[0].name, factors[1].name),
            levels=((levels[0][0], levels[0][1]), (levels[1][0], levels[1][1])),
            verdict=_double(strip_verdict(verdict), rules.margin),
        )


def _copy_rules(rules: Rules) -> Rules:
    """Return the rules alone, without what else a summary holds."""
    return Rules(**{name: getattr(rules, name) for name in Rules.__dataclass_fields__})


def _average_cells(
    design: FactorialDesign, arms: Arms, places: tuple[int, int], pairs: Sequence[tuple[int, int]]
) -> AveragedArm:
    members = [arms[arm] for arm, cell in design.cells.items() if tuple(cell[place] for place in places) in pairs]
    return average_arms(members, " and ".join(_name_cell(design, places, pair) for pair in pairs))


def _name_cell(design: FactorialDesign, places: tuple[int, int], pair: tuple[int, int]) -> str:
    return " / ".join(design.factors[place].levels[level] for place, level in zip(places, pair, strict=True))


def _double(verdict: Verdict, margin: float | None) -> Verdict:
    """Return the verdict on a whole difference of differences from that on half of it."""
    ends = verdict.interval
    return replace(
        verdict,
        difference=None if verdict.difference is None else 2 * verdict.difference,
        interval=None if ends is None else (2 * ends[0], 2 * ends[1]),
        sd=None if verdict.sd is None else 2 * verdict.sd,
        margin=margin,
    )


def _measure_range(
    design: FactorialDesign, place: int, arms: Arms, judging: Judging, effects: Sequence[MainEffect]
) -> FactorRange:
    factor = design.factors[place]
    levels = [_average_level(design, arms, place, level) for level in range(len(factor.levels))]
    means = {level.arm: float(np.mean(list(level.scores.values()))) for level in levels}
    own = [effect.verdict for effect in effects if effect.factor == factor.name]
    words: tuple[VerdictWord, ...] = ("better", "worse")
    return FactorRange(
        factor=factor.name,
        means=means,
        range=max(means.values()) - min(means.values()),
        interval=_bound_range(design, levels, judging, own),
        is_shown=any(verdict.verdict in words for verdict in own),
    )


def _bound_range(
    design: FactorialDesign, levels: Sequence[AveragedArm], judging: Judging, own: Sequence[Verdict]
) -> tuple[float, float] | None:
    """Return an interval of the range of the true level means: it holds if those of all pairs of levels do.

    The range is the largest absolute difference of two levels. So it is above all lower, and below the largest upper
    limit of the absolute differences; with m pairs, of intervals at 1 - (1 - confidence) / m.
    """
    intervals = [verdict.interval for verdict in own]
    if len(own) > 1:
        stricter = _sharpen(judging, len(own))
        pairs = list(itertools.combinations(levels, 2))
        intervals = [each.interval for each in compare_all(pairs, stricter, _choose_comparison(design))]
    known = [ends for ends in intervals if ends is not None]
    if len(known) < len(intervals):
        return None
    least = [max(0.0, low, -high) for low, high in known]
    most = [max(abs(low), abs(high)) for low, high in known]
    return max(least), max(most)


def _sharpen(judging: Judging, num_pairs: int) -> Judging:
    rules = _copy_rules(judging.rules)
    confidence = 1 - (1 - rules.confidence) / num_pairs
    race = None if rules.race is None else replace(rules.race, confidence=confidence)
    return replace(judging, rules=replace(rules, confidence=confidence, race=race))


def _screen(design: FactorialDesign, arms: Arms, judging: Judging) -> LenthScreen | None:
    """Tell which effects of a two-level fraction stand out where there are too few replicates for verdicts."""
    scores = {arm: float(np.mean(list(arms[arm].scores.values()))) for arm in design.cells}
    if design.kind == "full" or len(design.factors) + len(design.others) < MIN_CONTRASTS:
        return None

    def contrast(level_of: Mapping[str, int]) -> float:
        high, low = ([score for arm, score in scores.items() if level_of[arm] == level] for level in (1, 0))
        return float(np.mean(high) - np.mean(low))

    effects = {
        factor.name: contrast({arm: cell[place] for arm, cell in design.cells.items()})
        for place, factor in enumerate(design.factors)
    }
    return screen_by_lenth(effects, [contrast(other) for other in design.others], judging.rules.confidence)
