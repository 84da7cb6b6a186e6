"""What a study can show in one block, in figures, before or after it is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from bakeoff.stats.expected import ExpectedSpread, find_least_difference
from bakeoff.stats.measure import Measure
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.power import POWER
from bakeoff.stats.sources import VarianceSource

SHOWN = (3, 5, 10, 20)
"""Replicates at which detectable differences are listed."""

DRAWN = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
"""Replicates at which a figure draws them."""

MORE_THAN_PILOT = 3
"""Replicates that are advised beyond those of a pilot, at least; see `benchmarks/rigor_power.py`."""

Scope = Literal["images", "seeds"]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a study is to show, in one block.

    Attributes:
        measure: the deciding metric on the test split.
        replicates: planned; of a race, at most.
        level: two-sided error rate that every pair has to pass: the correction's strictest step, at the look's share.
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
