"""Generates the candidates of an Optuna search, by a sampler of Optuna's or a grid.

Optuna is imported when the first sampler is made: that takes half a second, and most studies have no search.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from bakeoff.search.front import Direction, has_values
from bakeoff.search.proposal import Score
from bakeoff.study.dimensions import AnyDimension, Categorical, FloatRange, IntRange, matches
from bakeoff.study.search import Sampler
from bakeoff.study.space import arrange, is_chosen, iterate_points, order_space

if TYPE_CHECKING:
    import optuna

MAX_GRID = 100_000
"""Maximum number of points in a grid."""

NUM_ATTEMPTS = 10
"""How often a sampler may repeat a point before a random one replaces it."""

NUM_DRAWS = 100
"""Maximum number of random draws to find a new point."""

MAX_LISTED = 10_000
"""Maximum number of enumerated points to find a new one."""


class GridPoints:
    """Every point of a space once, in random order by the seed, so that the first ones are not all in one corner."""

    def __init__(self, space: Mapping[str, AnyDimension], seed: int) -> None:
        self._points = list(islice(iterate_points(space), MAX_GRID + 1))
        if len(self._points) > MAX_GRID:
            raise ValueError(f"the grid has more than {MAX_GRID:,} points: widen its steps, or use another sampler")
        random.Random(seed).shuffle(self._points)

    def draw(self, number: int) -> dict[str, Any] | None:
        """Return the next point; None if there is none."""
        return self._points[number] if number < len(self._points) else None

    def learn(self, score: Score) -> None:
        """Ignored: the grid does not depend on scores."""


class OptunaPoints:
    """An in-memory Optuna study, and the mapping from its trials to candidates."""

    def __init__(
        self,
        space: Mapping[str, AnyDimension],
        sampler: Sampler,
        trials: int,
        directions: Sequence[Direction],
        seed: int,
    ) -> None:
        self._space, self._order, self._name, self._seed = space, order_space(space), sampler, seed
        self._asked: dict[int, optuna.Trial] = {}
        self._seen: set[str] = set()
        self._several = len(directions) > 1
        with _quiet():
            import optuna

            made = _make_sampler(sampler, space, trials, self._several, seed)
            self._study = optuna.create_study(sampler=made, directions=list(directions))

    def draw(self, number: int) -> dict[str, Any] | None:
        """Return a point that was not proposed before; None if none was found."""
        with _quiet():
            for _ in range(NUM_ATTEMPTS):
                changes = self._ask(number)
                if changes is not None:
                    return changes
            return self._draw_another(number)

    def learn(self, score: Score) -> None:
        """Report a candidate's outcome to Optuna."""
        trial = self._asked.pop(score.number)
        values = score.values if has_values(score) else None
        unfinished = values is None or score.pruned
        with _quiet():
            if not unfinished or (values is not None and self._name == "cmaes"):
                # A pruned candidate ranked low when it was pruned, and cmaes only uses ranks.
                self._study.tell(trial, values)
            elif self._several:
                self._study.tell(trial, state=_get_states().FAIL)
            else:
                # A pruned trial without a reported value ranks last; a failed one would be ignored.
                if values is not None:
                    trial.report(values[0], step=1)
                self._study.tell(trial, state=_get_states().PRUNED)

    def _ask(self, number: int) -> dict[str, Any] | None:
        """Ask for one point; None if it was proposed before, in which case Optuna forgets the request."""
        trial = self._study.ask()
        changes: dict[str, Any] = {}
        for path in self._order:
            if is_chosen(self._space[path], changes):
                changes[path] = _suggest(trial, path, self._space[path])
        key = json.dumps(changes, sort_keys=True)
        if key in self._seen:
            self._study.tell(trial, state=_get_states().FAIL)
            return None
        self._seen.add(key)
        self._asked[number] = trial
        return arrange(changes)

    def _draw_another(self, number: int) -> dict[str, Any] | None:
        """Draw a new point at random when the sampler finds none."""
        generator = random.Random(f"{self._seed} {number}")
        if all(dimension.count is not None for dimension in self._space.values()):
            points = list(islice(iterate_points(self._space), MAX_LISTED))
            left = [point for point in points if json.dumps(point, sort_keys=True) not in self._seen]
            if left:
                self._study.enqueue_trial(self._index(generator.choice(left)))
                return self._ask(number)
            if len(points) < MAX_LISTED:
                return None
        return self._draw_at_random(number, generator.getrandbits(32))

    def _draw_at_random(self, number: int, seed: int) -> dict[str, Any] | None:
        import optuna

        own, self._study.sampler = self._study.sampler, optuna.samplers.RandomSampler(seed=seed)
        try:
            drawn = (self._ask(number) for _ in range(NUM_DRAWS))
            return next((changes for changes in drawn if changes is not None), None)
        finally:
            self._study.sampler = own

    def _index(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point in Optuna's representation."""
        return {
            path: _find_position(self._space[path], value) if _is_indexed(self._space[path]) else value
            for path, value in point.items()
        }


def _is_indexed(dimension: AnyDimension) -> bool:
    """Return whether Optuna represents a field by its value's index.

    Optuna's categories must be plain values, ours may be mappings; its steps produce values like 0.30000000000000004.
    """
    return isinstance(dimension, Categorical) or (isinstance(dimension, FloatRange) and dimension.step is not None)


def _find_position(dimension: AnyDimension, value: object) -> int:
    # Not list.index, because True == 1.
    return next(i for i, own in enumerate(dimension.list_values()) if matches(own, (value,)))


def _suggest(trial: optuna.Trial, path: str, dimension: AnyDimension) -> Any:
    if isinstance(dimension, IntRange):
        return trial.suggest_int(path, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    values = dimension.list_values()
    if isinstance(dimension, Categorical):
        return values[trial.suggest_categorical(path, list(range(len(values))))]
    if dimension.step is not None:
        return values[trial.suggest_int(path, 0, len(values) - 1)]
    return trial.suggest_float(path, dimension.low, dimension.high, log=dimension.log)


def _make_sampler(
    name: Sampler, space: Mapping[str, AnyDimension], trials: int, several: bool, seed: int
) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    seed %= 2**32
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if name == "nsga2":
        # Optuna's default of 50 would turn a small search into one random generation.
        return samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, trials // 5)))
    conditional = any(dimension.when for dimension in space.values())
    return samplers.TPESampler(
        seed=seed,
        # Optuna's default of 10 would make a search of ten trials random.
        n_startup_trials=max(3, min(10, trials // 4)),
        multivariate=not several,
        group=conditional and not several,
        constant_liar=True,
    )


def _get_states() -> type[optuna.trial.TrialState]:
    from optuna.trial import TrialState

    return TrialState


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's output: a search reports its own progress."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from optuna import logging

        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
