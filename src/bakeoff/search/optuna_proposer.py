"""Optuna as a proposer: it only proposes points. Its state is rebuilt from the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.search.front import Direction, choose_winner, find_front
from bakeoff.search.optuna_points import GridPoints, OptunaPoints
from bakeoff.search.proposal import Proposal, Score
from bakeoff.study.dimensions import AnyDimension
from bakeoff.study.search import Sampler
from bakeoff.study.space import find_sampler_faults


class OptunaProposer:
    """Proposes points of a space, a group at a time, without repetition.

    A failed candidate counts as worse than all others if the sampler supports that (tpe), and is ignored otherwise. A
    pruned one ranks below those that were not pruned; with several objectives it is ignored, because training that was
    cut short looks cheap.

    Args:
        space: dotted fields of the recipe, each with its possible values.
        sampler: how points are chosen. tpe: Bergstra et al. (2011), multivariate, with a constant liar inside a group;
            cmaes: Hansen (2016); nsga2: Deb et al. (2002); random; grid: every point once, in an order drawn by the
            seed.
        trials: maximum number of candidates; fewer if the space has fewer points.
        group: candidates proposed together.
        directions: the direction of every objective.
        seed: seed of all draws.

    Raises:
        ValueError: the sampler does not support this space, or a number is out of range.
    """

    def __init__(
        self,
        space: Mapping[str, AnyDimension],
        *,
        sampler: Sampler = "tpe",
        trials: int,
        group: int = 1,
        directions: Sequence[Direction] = ("maximize",),
        seed: int = 0,
    ) -> None:
        faults = [f"{path}: {message}" if path else message for path, message in find_sampler_faults(space, sampler)]
        if faults or trials < 1 or group < 1 or not directions or (sampler == "cmaes" and len(directions) > 1):
            raise ValueError("; ".join(faults) or "trials, group and objectives count from 1; cmaes has one objective")
        self._points: GridPoints | OptunaPoints = (
            GridPoints(space, seed) if sampler == "grid" else OptunaPoints(space, sampler, trials, directions, seed)
        )
        self._left, self._group, self._directions = trials, group, tuple(directions)
        self._open: dict[int, Score | None] = {}
        self._scores: dict[int, Score] = {}

    def propose(self) -> Sequence[Proposal]:
        """Return the next group; empty while one is open, and when trials or points have run out."""
        if self._open:
            return ()
        start = len(self._scores)
        group: list[Proposal] = []
        for number in range(start, start + min(self._group, self._left)):
            changes = self._points.draw(number)
            if changes is None:
                self._left = 0
                break
            self._left -= 1
            group.append(Proposal(number=number, changes=changes))
        self._open = {proposal.number: None for proposal in group}
        return tuple(group)

    def judge(self, score: Score) -> None:
        """Receive a candidate's score; complete groups are reported to the sampler in order of number.

        Raises:
            ValueError: the candidate is not open, or the number of values differs from the number of objectives.
        """
        if self._open.get(score.number, score) is not None:
            raise ValueError(f"candidate {score.number} is not waiting for a score")
        if score.values is not None and len(score.values) != len(self._directions):
            raise ValueError(f"{len(score.values)} values for {len(self._directions)} objectives")
        self._open[score.number] = score
        judged = [self._open[number] for number in sorted(self._open)]
        complete = [one for one in judged if one is not None]
        if len(complete) == len(judged):
            for one in complete:
                self._points.learn(one)
                self._scores[one.number] = one
            self._open = {}

    def front(self) -> tuple[Score, ...]:
        """Return the Pareto front of all complete groups, sorted by the first objective."""
        return find_front(self._scores.values(), self._directions)

    def winner(self) -> Score | None:
        """Return the score on the front with the best first objective; None if there is none yet."""
        return choose_winner(self._scores.values(), self._directions)
