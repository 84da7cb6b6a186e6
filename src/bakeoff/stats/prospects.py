"""What a study can show, in figures and sentences, before or after it is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bakeoff.stats.expected import ExpectedSpread, find_least_difference
from bakeoff.stats.measure import Measure, whole_percent
from bakeoff.stats.needed import LIKELY
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.power import POWER
from bakeoff.stats.sources import VarianceSource

SHOWN = (3, 5, 10, 20)
"""Replicates at which detectable differences are listed."""

DRAWN = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
"""Replicates at which a figure draws them."""

MORE_THAN_PILOT = 3
"""Replicates that are advised beyond those of a pilot, at least; see `benchmarks/rigor_power.py`."""

MAX_BLOCKS_IN_FULL = 3
"""Of more blocks only the extremes are told in words."""

Scope = Literal["images", "seeds"]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a study is to show, in one block.

    Attributes:
        measure: the deciding metric on the test split.
        replicates: planned; of a race, at most.
        level: two-sided error rate that every pair has to pass: Holm's strictest step, at the look's share.
        num_pairs: of the family that p values are adjusted for.
        margin: as declared; None for none.
        scope: of the verdicts.
        num_images: independent test images, so groups if they come in these; None if unknown. `num_grouped`: images in
            these groups; None if every image stands alone.
        baseline_level: level with one baseline instead of all pairs; None if there is one, or only two arms.
        num_tested: replicates that were tested already; 0 before the final test.
        look: at the question, counted from 1; later ones may spend less of the error rate.
        allows_pilot: whether the study can begin with a pilot.
        is_race: whether the number of replicates is left to a race, whose test is stricter than the one assumed here.
    """

    measure: Measure
    replicates: int
    level: float
    num_pairs: int
    margin: float | None = None
    scope: Scope = "images"
    num_images: int | None = None
    baseline_level: float | None = None
    num_tested: int = 0
    look: int = 1
    allows_pilot: bool = True
    is_race: bool = False
    num_grouped: int | None = None

    @property
    def images(self) -> str:
        """The test images, as counted in a sentence."""
        number = self.num_images or 0
        return f"{number:,} test images" if self.num_grouped is None else f"{number:,} groups of test images"

    @property
    def unit(self) -> str:
        """What there could be more of."""
        return "test images" if self.num_grouped is None else "groups of test images"


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What one block of a study can show. Differences are in the metric's unit: shares are 0..1, not points.

    Attributes:
        detectable: true difference between two arms that the planned replicates show with 80% power; None under 3
            replicates and if nothing is known of seeds. `detectable_range`: the same at the ends of the interval of
            the measured sd.
        limit: below which more replicates do not get on these test images; 0 if nothing is known of images.
        curve: (replicates, detectable difference).
        to_show, to_equate: replicates that show a difference as large as the margin, and equal arms to be equivalent;
            None without margin, and beyond 1,000. `power_to_show`, `power_to_equate`: of the planned replicates.
        margin_shown: smallest margin that the planned replicates can settle both ways.
        images_needed: test images with which the planned replicates settle the margin; None if they do, or if no
            number of images is enough.
        both_needed: (replicates, test images) that settle it together, if neither does alone; None if none listed do.
        suffices_with_baseline: whether the planned replicates would settle the margin against one baseline.
    """

    block: str
    aim: Aim
    source: VarianceSource
    detectable: float | None = None
    detectable_range: tuple[float, float] | None = None
    limit: float = 0.0
    curve: tuple[tuple[int, float], ...] = ()
    to_show: int | None = None
    to_equate: int | None = None
    power_to_show: float | None = None
    power_to_equate: float | None = None
    margin_shown: float | None = None
    images_needed: int | None = None
    both_needed: tuple[int, int] | None = None
    suffices_with_baseline: bool = False

    @property
    def settles(self) -> bool:
        """Whether the margin can be settled both ways with 80% power; True if none is declared or nothing is known."""
        return self.power_to_show is None or self.power_to_equate is None or self._is_enough

    @property
    def _is_enough(self) -> bool:
        return min(self.power_to_show or 0.0, self.power_to_equate or 0.0) >= POWER

    def dump(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        aim, source, spread = self.aim, self.source, self.source.spread
        return {
            "block": self.block,
            "power": POWER,
            "replicates": aim.replicates,
            "race": aim.is_race,
            "scope": aim.scope,
            "level": aim.level,
            "pairs": aim.num_pairs,
            "look": aim.look,
            "margin": aim.margin,
            "test_images": aim.num_images if aim.num_grouped is None else aim.num_grouped,
            **({} if aim.num_grouped is None else {"test_groups": aim.num_images}),
            "detectable": self.detectable,
            "detectable_range": None if self.detectable_range is None else list(self.detectable_range),
            "limit": self.limit or None,
            "curve": [{"replicates": n, "detectable": difference} for n, difference in self.curve],
            "to_show": self.to_show,
            "to_equate": self.to_equate,
            "power_to_show": self.power_to_show,
            "power_to_equate": self.power_to_equate,
            "margin_shown": self.margin_shown,
            "images_needed": self.images_needed,
            "both_needed": None if self.both_needed is None else list(self.both_needed),
            "settles_margin": self.settles if aim.margin is not None and spread is not None else None,
            "source": {
                "kind": source.kind,
                "study": source.study or None,
                "trials": source.num_trials,
                "replicates": source.num_replicates,
                "split": source.split if source.num_trials else None,
                "degrees": source.degrees,
                "images_from": source.images_from,
                "sd_of_difference": None if spread is None else spread.sd,
                "image_variance": None if spread is None else spread.images,
            },
        }


@dataclass(frozen=True, kw_only=True)
class Prospects:
    """What a study can show, block by block.

    Attributes:
        blocks: empty if nothing can be said, for the `reason`.
        reason: a clause; empty if all can be said.
        is_quick: whether the study is the small version of another, of which nobody expects an answer.
    """

    blocks: tuple[Prospect, ...] = ()
    reason: str = ""
    is_quick: bool = False

    @property
    def warning(self) -> str:
        """One line on a margin that cannot be settled as planned, with remedies; empty if it can."""
        return "" if self.is_quick else warn_of_margin(self.blocks)

    def dump(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        return {
            "blocks": [each.dump() for each in self.blocks],
            "reason": self.reason or None,
            "warning": self.warning or None,
        }


def look_ahead(block: str, aim: Aim, source: VarianceSource) -> Prospect:
    """Return what a study can show in one block, given what is known of its spread."""
    if source.spread is None:
        return Prospect(block=block, aim=aim, source=source, limit=_bound_by_images(aim))
    spread = _restrict(source.spread, aim)
    numbers = sorted({*SHOWN, max(MIN_REPLICATES, aim.replicates)})
    if aim.num_tested:
        numbers = [n for n in sorted({*SHOWN, 2 * aim.num_tested, 4 * aim.num_tested}) if n > aim.num_tested]
    has_verdicts = aim.replicates >= MIN_REPLICATES
    found = Prospect(
        block=block,
        aim=aim,
        source=source,
        detectable=spread.find_detectable(aim.replicates, aim.level) if has_verdicts else None,
        detectable_range=_find_range(aim, source) if has_verdicts else None,
        limit=spread.find_limit(aim.level),
        curve=tuple((n, spread.find_detectable(n, aim.level)) for n in numbers),
    )
    return found if aim.margin is None else _judge_margin(found, spread, aim, aim.margin)


def draw_curve(prospect: Prospect) -> tuple[tuple[int, float], ...]:
    """Return (replicates, detectable difference) at more points than are listed, for a figure."""
    assert prospect.source.spread is not None, "without a spread there is no curve"
    spread = _restrict(prospect.source.spread, prospect.aim)
    return tuple((n, spread.find_detectable(n, prospect.aim.level)) for n in DRAWN)


def _restrict(spread: ExpectedSpread, aim: Aim) -> ExpectedSpread:
    """Return the spread in the scope of the verdicts: on these images alone they cause no variance."""
    return spread if aim.scope == "images" else replace(spread, images=0.0)


def _bound_by_images(aim: Aim) -> float:
    if aim.scope != "images" or not aim.num_images or not aim.measure.record.counts_images:
        return 0.0
    return find_least_difference(aim.num_images, aim.level)


def _find_range(aim: Aim, source: VarianceSource) -> tuple[float, float] | None:
    found = [_restrict(end, aim).find_detectable(aim.replicates, aim.level) for end in source.ends]
    return (min(found), max(found)) if found else None


def _judge_margin(found: Prospect, spread: ExpectedSpread, aim: Aim, margin: float) -> Prospect:
    found = replace(
        found,
        to_show=_count_beyond_pilot(found.source, spread.count_to_show(margin, aim.level)),
        to_equate=_count_beyond_pilot(found.source, spread.count_to_equate(margin, aim.level)),
    )
    if aim.replicates < MIN_REPLICATES:
        return found
    n = aim.replicates
    found = replace(
        found,
        power_to_show=spread.find_power(margin, n, aim.level),
        power_to_equate=spread.find_equivalence_power(margin, n, aim.level),
        margin_shown=max(spread.find_detectable(n, aim.level), spread.find_margin(n, aim.level)),
    )
    if found.settles:
        return found

    images = _count_images(spread, aim, margin, n)
    is_alone = images is not None or (found.to_show is not None and found.to_equate is not None)
    more = [] if is_alone else [(m, _count_images(spread, aim, margin, m)) for m in SHOWN if m > n]
    return replace(
        found,
        images_needed=images,
        both_needed=next(((m, number) for m, number in more if number is not None), None),
        suffices_with_baseline=aim.baseline_level is not None and _settles(spread, margin, n, aim.baseline_level),
    )


def _count_beyond_pilot(source: VarianceSource, number: int | None) -> int | None:
    """Return a number of replicates that is enough more than a pilot's, whose spread may be small by chance.

    If the pilot alone were taken for enough, it would be so where its variance is too small, and tests would be false
    too often.
    """
    if number is None or source.kind != "pilot":
        return number
    return max(number, source.num_replicates + MORE_THAN_PILOT)


def _settles(spread: ExpectedSpread, margin: float, n: int, level: float) -> bool:
    return max(spread.find_detectable(n, level), spread.find_margin(n, level)) <= margin


def _count_images(spread: ExpectedSpread, aim: Aim, margin: float, n: int) -> int | None:
    """Return the test images with which n replicates settle the margin; None if no number does, and in scope seeds."""
    if aim.scope != "images":
        return None
    return spread.count_images(lambda other: _settles(other, margin, n, aim.level))


# --- In words --------------------------------------------------------------------------------------------------------


def format_difference(difference: float, measure: Measure) -> str:
    """Format a difference to two digits with its unit, such as "1.9 points", "0.035"."""
    scale = 100 if measure.record.is_share else 1
    return f"{_round(scale * difference)}{measure.unit_of_difference}"


def _round(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _round_up(value: float) -> float:
    """Round up to two digits."""
    digit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / digit - 1e-9) * digit


def describe_prospect(prospect: Prospect) -> Iterator[str]:
    """Yield what a block can show, a sentence each: detectable difference, margin, source."""
    yield _say_detectable(prospect)
    yield from _say_margin_and_source(prospect)


def describe_more(prospect: Prospect) -> Iterator[str]:
    """Yield what more replicates than those tested can show, a sentence each; before a test, what all can."""
    if not prospect.aim.num_tested or not prospect.curve:
        yield from describe_prospect(prospect)
        return
    yield (
        f"another look can show differences of {_say_curve(prospect)} "
        f"({POWER:.0%} power{_say_correction(prospect.aim)}; {_say_scope(prospect)})"
    )
    yield from _say_margin_and_source(prospect)


def _say_margin_and_source(prospect: Prospect) -> Iterator[str]:
    yield from _say_margin(prospect)
    if prospect.source.spread is not None:
        yield _say_source(prospect.source, prospect.source.spread, prospect.aim)


def _say_curve(prospect: Prospect) -> str:
    """Return detectable differences in words, such as "1.9 points with 5 replicates in all, 1.3 with 10"."""
    measure = prospect.aim.measure
    unit = measure.unit_of_difference
    (n, first), *rest = prospect.curve
    later = [f", {format_difference(each, measure).removesuffix(unit)} with {more:,}" for more, each in rest]
    return f"{format_difference(first, measure)} with {n:,} replicates in all{''.join(later)}"


def _say_detectable(prospect: Prospect) -> str:
    aim, measure = prospect.aim, prospect.aim.measure
    if prospect.source.spread is None:
        return _say_bound(prospect)
    conditions = f"{POWER:.0%} power{_say_correction(aim)}; {_say_scope(prospect)}"
    if prospect.detectable is None:
        (n, detectable), *_ = prospect.curve
        return (
            f"under {MIN_REPLICATES} replicates no pair gets a verdict; {n} can show differences of "
            f"{format_difference(detectable, measure)} or more between two arms ({conditions})"
        )
    return (
        f"{aim.replicates} replicates can show differences of {format_difference(prospect.detectable, measure)} or "
        f"more{_say_range(prospect)} between two arms ({conditions})"
    )


def _say_correction(aim: Aim) -> str:
    pairs = "" if aim.num_pairs == 1 else f", corrected for {aim.num_pairs:,} pairs"
    if aim.look > 1:
        looks = f"look {aim.look} at the question"
        pairs = f"{pairs} and for {looks}" if pairs else f", corrected for {looks}"
    return f"{pairs}, a race's own test is stricter" if aim.is_race else pairs


def _say_bound(prospect: Prospect) -> str:
    aim = prospect.aim
    bound = ""
    if prospect.limit:
        bound = (
            f"; {aim.images} cannot show a difference under "
            f"{format_difference(prospect.limit, aim.measure)} if it is the same for every seed"
        )
    example = "0.5 points" if aim.measure.record.is_share else "0.05"
    accuracy = ", accuracy: 0.9" if aim.measure.record.counts_images else ""
    pilot = " or find out with bakeoff run --pilot 2" if aim.allows_pilot else ""
    return (
        f"nothing is known yet of how scores vary over seeds: declare it (expect: {{sd: {example}{accuracy}}})"
        f"{pilot}{bound}"
    )


def _say_range(prospect: Prospect) -> str:
    if prospect.detectable_range is None:
        return ""
    low, high = (format_difference(end, prospect.aim.measure) for end in prospect.detectable_range)
    return f" ({low.removesuffix(prospect.aim.measure.unit_of_difference)} to {high} at {LIKELY:.0%} confidence)"


def _say_scope(prospect: Prospect) -> str:
    aim = prospect.aim
    if aim.scope == "seeds":
        return "new seeds on these test images"
    if prospect.source.images_from == "nothing":
        return "new seeds; of new images nothing is known, so this is a lower bound"
    new = "images" if aim.num_grouped is None else "groups"
    return f"new seeds and new {new}: {aim.images} alone limit it to {format_difference(prospect.limit, aim.measure)}"


def _say_margin(prospect: Prospect) -> Iterator[str]:
    aim = prospect.aim
    if aim.margin is None or prospect.source.spread is None:
        return
    margin = format_difference(aim.margin, aim.measure)
    shown, equal = (_say_number(number) for number in (prospect.to_show, prospect.to_equate))
    if prospect.to_show is None and prospect.to_equate is None:
        yield f"a margin of {margin} cannot be settled by replicates alone{_say_limit(prospect)}"
    else:
        yield (
            f"a margin of {margin} needs {shown} to show a difference that large, and {equal} to show equal arms "
            f"equivalent{_say_limit(prospect)}"
        )


def _say_number(number: int | None) -> str:
    return "more than 1,000 replicates" if number is None else f"{number:,} replicates"


def _say_limit(prospect: Prospect) -> str:
    if prospect.aim.scope != "images" or not prospect.limit:
        return ""
    limit = format_difference(prospect.limit, prospect.aim.measure)
    return f"; to show less than {limit} takes more test images"


def _say_source(source: VarianceSource, spread: ExpectedSpread, aim: Aim) -> str:
    sd = f"the standard deviation of a difference over seeds is {format_difference(spread.sd, aim.measure)}"
    images = {
        "predictions": "the images' part is from stored predictions",
        "accuracy": "the images' part is from the accuracy",
        "nothing": "the images' part is unknown",
    }[source.images_from]
    basis = {
        "trials": f"from {source.num_trials:,} trials of this study",
        "earlier": f"from {source.num_trials:,} trials of the earlier study {source.study}, {source.split} scores",
        "pilot": f"from validation scores of {source.num_trials:,} trials of this study",
        "declared": "as declared by expect",
        "none": "",
    }[source.kind]
    return f"{sd}, {basis}{f'; {images}' if aim.scope == 'images' else ''}"


def group_blocks(prospects: Sequence[Prospect]) -> list[tuple[str, Prospect]]:
    """Return the blocks to be told in words, each with its label: those alike together, of many the two extremes."""
    alike: dict[tuple[str, ...], list[Prospect]] = {}
    for each in prospects:
        alike.setdefault((*describe_prospect(each), list_detectable(each)), []).append(each)
    groups = list(alike.values())
    if len(groups) > MAX_BLOCKS_IN_FULL:
        groups.sort(key=lambda group: group[0].curve[0][1] if group[0].curve else math.inf)
        groups = [groups[0], groups[-1]]
    return [("" if len(group) == len(prospects) else _label_blocks(group), group[0]) for group in groups]


def _label_blocks(group: Sequence[Prospect]) -> str:
    rest = "" if len(group) == 1 else f" and {len(group) - 1} more"
    return f"{group[0].block}{rest}: "


def list_detectable(prospect: Prospect) -> str:
    """Return detectable differences over replicates on one line, such as "3: 1.9, 5: 1.3, 10: 1.1 points"."""
    measure = prospect.aim.measure
    unit = measure.unit_of_difference
    values = ", ".join(
        f"{n}: {format_difference(difference, measure).removesuffix(unit)}" for n, difference in prospect.curve
    )
    return f"{values}{unit}" if values else ""


def warn_of_margin(prospects: Sequence[Prospect]) -> str:
    """Return one line on blocks whose margin cannot be settled as planned, with remedies; empty if there are none."""
    open_blocks = [each for each in prospects if not each.settles]
    if not open_blocks:
        return ""
    worst = min(open_blocks, key=lambda each: min(each.power_to_show or 0.0, each.power_to_equate or 0.0))
    aim = worst.aim
    assert aim.margin is not None, "without a margin all is settled"
    where = "" if len(prospects) == 1 else f" in {len(open_blocks)} of {len(prospects)} blocks (worst: {worst.block})"
    remedies = list(_list_remedies(worst))
    return (
        f"{aim.replicates} replicates are unlikely to settle the margin of {format_difference(aim.margin, aim.measure)}"
        f"{where}: a difference that large is shown in {whole_percent(worst.power_to_show or 0.0)}% of studies, equal "
        f"arms to be equivalent in {whole_percent(worst.power_to_equate or 0.0)}% ({POWER:.0%} is usual). "
        f"{'Remedy' if len(remedies) == 1 else 'Remedies'}: {', or '.join(remedies)}."
    )


def _list_remedies(prospect: Prospect) -> Iterator[str]:
    aim = prospect.aim
    if prospect.to_show is not None and prospect.to_equate is not None:
        yield f"{max(prospect.to_show, prospect.to_equate):,} replicates"
    if prospect.images_needed is not None and aim.num_images:
        yield f"{prospect.images_needed:,} {aim.unit} ({aim.num_images:,} now)"
    if prospect.both_needed is not None:
        replicates, images = prospect.both_needed
        yield f"{replicates:,} replicates and {images:,} {aim.unit} ({aim.num_images:,} now)"
    if prospect.margin_shown is not None:
        yield f"a margin of {format_difference(_round_up(prospect.margin_shown), aim.measure)}"
    if prospect.suffices_with_baseline:
        yield "one baseline instead of all pairs (decide.against)"
