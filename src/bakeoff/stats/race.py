"""A race: after every replicate, which arms of a block need no more of them.

An arm leaves when it is shown to be worse than an arm still racing, when every pair it belongs to is closed, or when it
fails again and again. A pair is closed when it is decided (corrected over the whole family, on sequential p values),
when more replicates are unlikely to decide it, or when one of its arms has left: it then keeps what it showed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.stats.borrowed import MIN_PAIRS, Lender, choose_slope
from bakeoff.stats.family import adjust_bonferroni, adjust_holm, list_family
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.sequential import RISE, RISE_BORROWED, PairLooks, SequentialDesign

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Exit:
    """Why an arm has left a race.

    Attributes:
        replicates: judged when it left, failed ones included.
        reason: a clause a reader can follow.
    """

    replicates: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class RaceStanding:
    """Where a race stands.

    Attributes:
        replicates: judged so far, failed ones included.
        racing: arms that need more replicates, in order.
        exits: arm -> why it left, in the order of leaving.
    """

    replicates: int
    racing: tuple[str, ...]
    exits: Mapping[str, Exit]

    @property
    def settled(self) -> bool:
        """No arm needs more replicates."""
        return not self.racing


def design_race(
    arms: Sequence[str], *, baseline: str | None, borrows: bool, at_least: int, at_most: int, confidence: float
) -> SequentialDesign:
    """Return when the race of a block looks, and how strictly.

    Args:
        arms: that race.
        baseline: the arm all others are compared with; None to compare all pairs.
        borrows: whether the arms lend each other variances.
        at_least: replicates before the first look.
        at_most: replicates at the last look.
        confidence: 0..1; see `SequentialDesign`.
    """
    lends = borrows and len(list_family(arms, baseline)) >= MIN_PAIRS
    return SequentialDesign(
        at_least=at_least, at_most=at_most, confidence=confidence, rise=RISE_BORROWED if lends else RISE
    )


class Race:
    """Judges the arms of one block replicate by replicate.

    Error rates: over all looks of the race and all pairs of the family, the chance of any false "better" or "worse" is
    at most 1 - confidence, and so is that of any false "equivalent". Assumes independent replicates with normal
    differences. How often arms leave for other reasons does not matter for that.

    Args:
        arms: labels.
        design: when to look, and how sure to be.
        margin: largest difference that does not matter, in the metric's unit; None for no equivalence.
        higher_is_better: False for losses.
        baseline: arm to compare all others with; None to compare all pairs. Being better or worse than it settles an
            arm, and the baseline races on while another does.
        failed_score: what a failed trial counts as; None drops its pairs. Arms that never succeeded are not compared
            with each other.
        borrows: whether the arms still racing lend each other variances; see `bakeoff.stats.borrowed`.
    """

    def __init__(
        self,
        arms: Sequence[str],
        *,
        design: SequentialDesign,
        margin: float | None = None,
        higher_is_better: bool = True,
        baseline: str | None = None,
        failed_score: float | None = None,
        borrows: bool = False,
    ) -> None:
        self._failed_score = failed_score
        self._design, self._margin, self._higher_is_better = design, margin, higher_is_better
        self._baseline = baseline
        self._racing = list(arms)
        self._exits: dict[str, Exit] = {}
        self._pairs: dict[Pair, PairLooks] = {pair: PairLooks(design) for pair in list_family(arms, baseline)}
        self._borrows = borrows and len(self._pairs) >= MIN_PAIRS
        self._scores: dict[str, dict[int, float]] = {arm: {} for arm in arms}
        self._num_failures_in_a_row = dict.fromkeys(arms, 0)
        self._succeeded: set[str] = set()
        self._replicates = 0

    @property
    def standing(self) -> RaceStanding:
        """Where the race stands."""
        return RaceStanding(replicates=self._replicates, racing=tuple(self._racing), exits=dict(self._exits))

    def judge(self, values: Mapping[str, float | None]) -> RaceStanding:
        """Take in the next replicate and say where the race stands.

        Args:
            values: a value for every arm that races; None for a trial that failed or diverged. Other arms are ignored.

        Raises:
            ValueError: the race is over.
        """
        if not self._racing:
            raise ValueError("the race is over")
        for arm in self._racing:
            value = values[arm]
            if value is None or not math.isfinite(value):
                self._num_failures_in_a_row[arm] += 1
                value = self._failed_score
            else:
                self._num_failures_in_a_row[arm] = 0
                self._succeeded.add(arm)
            if value is not None:
                self._scores[arm][self._replicates] = value
        self._replicates += 1
        if self._replicates >= self._design.at_least:
            self._look()
            self._part()
        return self.standing

    def _look(self) -> None:
        lender = None
        if self._borrows:
            lender = Lender(self._scores, slope=choose_slope(len(self._scores), len(self._pairs)))
        for (a, b), looks in self._pairs.items():
            # Of two arms that never succeeded, chance level against itself says nothing.
            if not self._is_racing((a, b)) or not {a, b} & self._succeeded:
                continue
            common = [replicate for replicate in self._scores[a] if replicate in self._scores[b]]
            if len(common) < max(self._design.at_least, looks.n + 1):
                continue
            comparison = compare_pair(
                [self._scores[a][replicate] for replicate in common],
                [self._scores[b][replicate] for replicate in common],
                margin=self._margin,
                confidence=self._design.confidence,
                higher_is_better=self._higher_is_better,
                error=None if lender is None else lender.find_error([a], [b], common),
            )
            looks.add(comparison)

    def _part(self) -> None:
        """Let arms leave: those that fail, those shown to be worse, then those with nothing left to find out."""
        for arm in tuple(self._racing):
            if self._num_failures_in_a_row[arm] >= self._design.at_least:
                self._leave(arm, f"its last {self._num_failures_in_a_row[arm]} trials failed")
        different, equivalent = self._decide()
        for loser, winner in self._list_losers(different - equivalent):
            self._leave(loser, f"worse than {winner}")
        open_pairs = {pair for pair in self._pairs if self._is_racing(pair)} - different - equivalent
        pressing = {pair for pair in open_pairs if not self._is_futile(pair, len(different), len(equivalent))}
        for arm in tuple(self._racing):
            if not any(arm in pair for pair in pressing):
                futile = any(arm in pair for pair in open_pairs)
                self._leave(arm, self._give_up() if futile else "every comparison of it is decided")

    def _decide(self) -> tuple[set[Pair], set[Pair]]:
        """Return the pairs shown to differ and those shown to be equivalent, corrected over the family."""
        error_rate = 1 - self._design.confidence
        adjust = adjust_bonferroni if self._borrows else adjust_holm
        p_values = adjust([looks.p for looks in self._pairs.values()])
        p_equivalence = adjust([looks.p_equivalence for looks in self._pairs.values()])
        return (
            {pair for pair, p in zip(self._pairs, p_values, strict=True) if p <= error_rate},
            {pair for pair, p in zip(self._pairs, p_equivalence, strict=True) if p <= error_rate},
        )

    def _list_losers(self, different: set[Pair]) -> list[tuple[str, str]]:
        """Return each racing arm shown to be worse than another racing one, with the first such other."""
        found: dict[str, str] = {}
        for a, b in self._pairs:
            if (a, b) in different and self._is_racing((a, b)):
                a_leads = self._pairs[a, b].leads == self._higher_is_better
                loser, winner = (b, a) if a_leads else (a, b)
                if loser != self._baseline:
                    found.setdefault(loser, winner)
        return list(found.items())

    def _is_futile(self, pair: Pair, num_different: int, num_equivalent: int) -> bool:
        return self._pairs[pair].is_futile(
            most=len(self._scores[pair[0]].keys() & self._scores[pair[1]].keys())
            + self._design.at_most
            - self._replicates,
            num_open=len(self._pairs) - (0 if self._borrows else num_different),
            num_open_equivalence=len(self._pairs) - (0 if self._borrows else num_equivalent),
        )

    def _is_racing(self, pair: Pair) -> bool:
        return pair[0] in self._racing and pair[1] in self._racing

    def _give_up(self) -> str:
        if self._replicates >= self._design.at_most:
            return f"all {self._design.at_most} replicates are done"
        return "more replicates are unlikely to decide its comparisons"

    def _leave(self, arm: str, reason: str) -> None:
        self._racing.remove(arm)
        self._exits[arm] = Exit(replicates=self._replicates, reason=reason)
