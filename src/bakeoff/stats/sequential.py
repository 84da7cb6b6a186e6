"""A look after every replicate: p values and intervals of a pair that hold at whatever replicate one stops.

Testing after every replicate at the usual level and stopping at the first success finds a "difference" between equal
arms far too often. Here a look after n replicates has its own, stricter level c * (n / at_most)^1.5, and c is chosen
so that the chance of any false success over all looks is the error rate declared (a group-sequential design with a
power-family boundary on the scale of p values: Wang and Tsiatis 1987, "Approximately optimal one-parameter boundaries
for group sequential trials"; Jennison and Turnbull 2000, "Group Sequential Methods"). Under normal differences the t
statistics of successive looks have one joint null distribution, whatever the true spread, so c needs no approximation.

What follows from it holds at every look at once, so at any rule for stopping, also one that looks at other results:
the sequential p value (Liu and Anderson 2008, "On adaptive extensions of group sequential trials"), its use within a
family by Holm's procedure at every look (Maurer and Bretz 2013, "Multiple testing in group sequential trials using
graphical approaches"), and repeated confidence intervals (Jennison and Turnbull 1989, "Interim analyses: the repeated
confidence interval approach").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.stats.boundary import Crossings, tabulate_crossings
from bakeoff.stats.mean_error import MeanError
from bakeoff.stats.pairs import MIN_REPLICATES, PairComparison, compare_pair
from bakeoff.stats.power import POWER
from bakeoff.stats.variance import Scope, Side, Spread, find_tail

RISE = 1.5
"""How much the levels of a race's looks rise with n: the first looks are strict, for a race can wait.

Of 0, 0.5, 1, 1.5, 2 and 3 all up to 1.5 need about as few replicates over differences of 0, 0.5, 1 and 2 sd at equal
power (within 4%); 1.5 leans least on normality in the far tails at the first looks.
"""

RISE_BORROWED = 0.5
"""The same where arms lend each other variances: these are known better at the first looks, so less is saved for later.

With 1.5, nine arms of which one leads by 4 or 2 sd take 12% and 6% more runs; with 0, a lead of 1 sd is shown less
often.
"""

FUTILE = 0.25
"""A pair is given up where its chance to be settled, on an optimistic assumption, falls below this."""

LIKELY_SPREAD = 0.9
"""A pair's spread may be smaller than measured: it is assumed as small as its one-sided limit at this confidence."""


@dataclass(frozen=True, kw_only=True)
class SequentialDesign:
    """When a race looks, and how sure it has to be.

    Attributes:
        at_least: replicates before the first look, 3 or more.
        at_most: replicates at the last look, `at_least` or more.
        confidence: 0..1; 1 - confidence is the chance of a false finding over all looks together.
        rise: the level of the look after n replicates is proportional to (n / at_most)^rise; 0 or more.

    Raises:
        ValueError: any of them out of range.
    """

    at_least: int
    at_most: int
    confidence: float = 0.95
    rise: float = RISE

    def __post_init__(self) -> None:
        if not MIN_REPLICATES <= self.at_least <= self.at_most:
            raise ValueError(
                f"a race needs {MIN_REPLICATES} <= at_least <= at_most, not {self.at_least}, {self.at_most}"
            )
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie strictly between 0 and 1, not {self.confidence}")
        if not 0 <= self.rise < math.inf:
            raise ValueError(f"rise must be 0 or more, not {self.rise}")

    def flatten(self) -> SequentialDesign:
        """Return the design for scores that did not steer the race, such as those on the test split: all looks equal.

        They are tested once, at a replicate that others chose. It may be an early one, where a race's own levels are
        stricter than they need be.
        """
        return replace(self, rise=0.0)

    def scale(self, p: float, n: int) -> float:
        """Return a look's p value relative to how strict the look after n replicates is."""
        return float(p * (self.at_most / n) ** self.rise)

    def p_value(self, scaled: float, *, sides: int = 2) -> float:
        """Return the chance that equal arms show a scaled p value this small at any look.

        Args:
            scaled: the smallest scaled p value so far; see `scale`.
            sides: 2 for two-sided p values, 1 for one-sided ones at the edge of their null hypothesis.
        """
        return 1.0 if scaled >= 1 else self._crossings(sides).probability(scaled)

    def level(self, n: ArrayLike, error_rate: float, *, sides: int = 2) -> NDArray[np.float64]:
        """Return the largest p value that counts after n replicates where `error_rate` is allowed over all looks."""
        scale = self._crossings(sides).quantile(error_rate)
        return np.asarray(scale * (np.asarray(n) / self.at_most) ** self.rise)

    def _crossings(self, sides: int) -> Crossings:
        return tabulate_crossings(self.at_least, self.at_most, self.rise, sides)


class PairLooks:
    """The looks at one pair, one after another, and what they show together.

    Evidence counts from the strongest look so far that points the way the latest does. Its direction apart, a finding
    is thus never lost again by more replicates.
    """

    def __init__(self, design: SequentialDesign) -> None:
        self._design = design
        self._looks: list[PairComparison] = []
        self._strongest = {True: math.inf, False: math.inf}
        self._strongest_equivalence = math.inf

    @property
    def n(self) -> int:
        """Replicates at the latest look; 0 before the first."""
        return self._looks[-1].n if self._looks else 0

    @property
    def p(self) -> float:
        """Sequential p value of "no difference"; 1 before the first look."""
        return self._design.p_value(self._strongest[self.leads])

    @property
    def p_equivalence(self) -> float:
        """Sequential p value of "differs by the margin or more"; 1 before the first look and without a margin."""
        return self._design.p_value(self._strongest_equivalence, sides=1)

    @property
    def leads(self) -> bool:
        """Whether the latest mean difference is positive or zero."""
        return (self._looks[-1].difference or 0.0) >= 0 if self._looks else True

    def add(self, comparison: PairComparison) -> None:
        """Take in the next look: all replicates so far, compared.

        Raises:
            ValueError: a look that the design does not have, or not after the latest.
        """
        n, design = comparison.n, self._design
        if not max(design.at_least, self.n + 1) <= n <= design.at_most or comparison.p is None:
            raise ValueError(f"a look at {n} replicates after one at {self.n} is not in {design}")
        self._looks.append(comparison)
        self._strongest[self.leads] = min(self._strongest[self.leads], design.scale(comparison.p, n))
        if comparison.margin is not None:
            p = 1.0 if comparison.p_equivalence is None else comparison.p_equivalence
            scaled = design.scale(p, n)
            self._strongest_equivalence = min(self._strongest_equivalence, scaled)

    def summarise(self, spread: Spread | None = None, scope: Scope = "images") -> PairComparison:
        """Return the latest look with p values and interval that hold over all looks so far.

        Needs at least one look. The interval is what the repeated confidence intervals of all looks have in common
        (the latest of them alone, in the rare case that they have nothing in common). With `spread`, of the replicates
        so far over the test images, interval and p values are widened to `scope`: the images are the same at all looks,
        so their part is added once.
        """
        latest = self._looks[-1]
        found = replace(
            latest,
            p=self.p,
            p_equivalence=None if latest.margin is None else self.p_equivalence,
            p_margin=None,
            p_behind=None,
        )
        if latest.difference is None or (spread is None and latest.exact):
            return found
        reach = _Reach(self._design, self._looks, spread, scope)
        tail = (1 - latest.confidence) / 2
        found = replace(
            found,
            interval=(latest.difference - reach.below(tail, 2), latest.difference + reach.above(tail, 2)),
            p_margin=reach.test_margin(),
            p_behind=reach.test_behind(),
        )
        if spread is None:
            return found
        p_equivalence = found.p_equivalence and max(found.p_equivalence, reach.test_equivalence())
        p = max(self.p, reach.test_difference())
        return replace(found, p=p, p_equivalence=p_equivalence, scope=scope, spread=spread, exact=False)

    def is_futile(self, *, most: int, num_open: int, num_open_equivalence: int) -> bool:
        """Tell whether more replicates are unlikely to settle the pair.

        Stochastic curtailment (Lan, Simon and Halperin 1982, "Stochastically curtailed tests in long-term clinical
        trials"). The chance of showing a difference supposes the smallest true one, in the direction seen so far, that
        `most` replicates without looking would show at 80% power; the chance of showing equivalence supposes no
        difference and a spread on the small side. No error rate rests on it: giving up can only lose findings.

        Args:
            most: replicates that the pair can still reach.
            num_open: pairs of the family that the error rate is divided by: those not shown to differ, or all.
            num_open_equivalence: the same for equivalence.
        """
        if most <= self.n or most < self._design.at_least:
            return True
        if not self._looks:
            return False
        error_rate = 1 - self._design.confidence
        level = float(self._design.level(most, error_rate / max(1, num_open)))
        if _chance_to_differ(self._looks[-1], most, level) >= FUTILE:
            return False
        level = float(self._design.level(most, error_rate / max(1, num_open_equivalence), sides=1))
        return _chance_to_equate(self._looks[-1], most, level) < FUTILE


class _Reach:
    """How far the repeated confidence intervals of some looks reach from the latest difference.

    Args:
        design: the race's.
        looks: at least one.
        spread: adds the images' part; None for the seeds' alone.
        scope: of the images' part.
    """

    def __init__(
        self, design: SequentialDesign, looks: Sequence[PairComparison], spread: Spread | None, scope: Scope
    ) -> None:
        found = [look for look in looks if (look.sd or look.error) and look.difference is not None]
        self._design, self._spread, self._scope = design, spread, scope
        self._latest = looks[-1]
        self._mean = float(looks[-1].difference or 0.0)
        self._n = np.array([look.n for look in found])
        self._means = np.array([look.difference for look in found], dtype=np.float64)
        self._own_errors = np.array([look.sd for look in found], dtype=np.float64) / np.sqrt(self._n)
        self._errors = [look.error for look in found]

    def below(self, tail: float, sides: int) -> float:
        """Return how far the interval reaches down where `tail` of it is left out on either side.

        Args:
            tail: 0..0.5.
            sides: 2 for two-sided intervals, 1 for one-sided bounds.
        """
        return self._widen(self._mean - self._intersect(tail, sides)[0], tail, -1 if sides == 1 else 0)

    def above(self, tail: float, sides: int) -> float:
        """Return how far it reaches up."""
        return self._widen(self._intersect(tail, sides)[1] - self._mean, tail, 1 if sides == 1 else 0)

    def test_difference(self) -> float:
        """Return the two-sided p value of no difference."""
        towards_zero = self.below if self._mean > 0 else self.above
        return 2 * find_tail(lambda tail: towards_zero(tail, 2), abs(self._mean))

    def test_equivalence(self) -> float:
        """Return the p value of a difference of the margin or more."""
        margin = self._latest.margin
        if margin is None or abs(self._mean) >= margin:
            return 1.0
        down = find_tail(lambda tail: self.below(tail, 1), margin + self._mean)
        return max(down, find_tail(lambda tail: self.above(tail, 1), margin - self._mean))

    def test_margin(self) -> float | None:
        """Return the p value of a difference of the margin at most, in the direction seen; None without a margin."""
        margin = self._latest.margin
        if margin is None:
            return None
        towards_zero = self.below if self._mean > 0 else self.above
        beyond = abs(self._mean) - margin
        return find_tail(lambda tail: towards_zero(tail, 1), beyond) if beyond > 0 else 1.0

    def test_behind(self) -> float | None:
        """Return the p value of a difference of the margin or more in the other direction; None without a margin."""
        margin = self._latest.margin
        if margin is None:
            return None
        towards_zero = self.above if self._mean < 0 else self.below
        return find_tail(lambda tail: towards_zero(tail, 1), abs(self._mean) + margin)

    def _widen(self, distance: float, tail: float, side: Side) -> float:
        distance = max(distance, 0.0)
        return distance if self._spread is None else self._spread.widen(distance**2, tail, self._scope, side)

    def _intersect(self, tail: float, sides: int) -> tuple[float, float]:
        from scipy.special import stdtrit

        if not len(self._n):
            return self._mean, self._mean
        levels = self._design.level(self._n, sides * tail, sides=sides)
        half_widths = -stdtrit(self._n - 1, levels / sides) * self._own_errors
        for place, (error, level) in enumerate(zip(self._errors, levels, strict=True)):
            if error is not None:
                half_widths[place] = error.reach(float(level) / sides)
        low, high = float((self._means - half_widths).max()), float((self._means + half_widths).min())
        if low > high:
            return float(self._means[-1] - half_widths[-1]), float(self._means[-1] + half_widths[-1])
        return low, high


def compare_by_looks(
    a_values: Sequence[float],
    b_values: Sequence[float],
    *,
    design: SequentialDesign,
    margin: float | None = None,
    higher_is_better: bool = True,
    spread: Spread | None = None,
    scope: Scope = "images",
    find_error: Callable[[int], MeanError | None] | None = None,
) -> PairComparison:
    """Compare two arms of a race on their common replicates, with p values and interval that hold wherever it stopped.

    Like `compare_pair`, with a sequential p value, sequential p value of equivalence and repeated confidence interval
    over the looks of `design`. They hold for any rule by which the number of replicates came about, also one that
    depends on other scores of the same trials: a race decided on the validation split and reported on the test split.
    Assumes independent replicates with normal differences; two-sided (equivalence: two one-sided tests).

    Args:
        a_values: one finite value per common replicate, in the order of replicates.
        b_values: as many, replicate by replicate; at most `design.at_most`.
        design: the race's, for the scores that steered it; `design.flatten()` for others.
        margin: above 0, in the metric's unit.
        higher_is_better: recorded for the verdict.
        spread: of the same replicates over the test images; None where it is not known.
        scope: what to speak of where `spread` is given.
        find_error: of the mean difference over the first so many replicates, where arms lend each other variances.

    Returns:
        The comparison; without p values and interval under `design.at_least` replicates.

    Raises:
        ValueError: as `compare_pair`, or more values than the design has.
    """
    looks = PairLooks(design)
    latest = None
    for n in range(min(design.at_least, len(a_values)), len(a_values) + 1):
        latest = compare_pair(
            a_values[:n],
            b_values[:n],
            margin=margin,
            confidence=design.confidence,
            higher_is_better=higher_is_better,
            error=None if find_error is None else find_error(n),
        )
        if n >= design.at_least:
            looks.add(latest)
    assert latest is not None
    return looks.summarise(spread, scope) if looks.n else replace(latest, p=None, p_equivalence=None, interval=None)


def _chance_to_differ(look: PairComparison, most: int, level: float) -> float:
    """Return the chance that `most` replicates show a difference at `level`, by the normal approximation."""
    from scipy.special import ndtr, ndtri

    assert look.p is not None
    left = most - look.n
    critical, seen = -ndtri(level / 2), -ndtri(look.p / 2)
    supposed = (critical + ndtri(POWER)) / math.sqrt(most)
    expected = seen * math.sqrt(look.n) + supposed * left
    return float(ndtr((expected - critical * math.sqrt(most)) / math.sqrt(left)))


def _chance_to_equate(look: PairComparison, most: int, level: float) -> float:
    """Return the chance that `most` replicates show a difference inside the margin, by the normal approximation."""
    from scipy.special import chdtri, ndtr, ndtri

    if look.margin is None or look.sd is None or look.difference is None:
        return 0.0
    if look.sd == 0:
        return float(abs(look.difference) < look.margin and 2.0**-most <= level)
    # The spread that is left `1 - LIKELY_SPREAD` of the time below what would have been measured.
    sd = look.sd * math.sqrt((look.n - 1) / chdtri(look.n - 1, 1 - LIKELY_SPREAD))
    room = look.margin + ndtri(level) * sd / math.sqrt(most)
    if room <= 0:
        return 0.0
    mean, spread = look.difference * look.n / most, sd * math.sqrt(most - look.n) / most
    return float(ndtr((room - mean) / spread) - ndtr((-room - mean) / spread))
