"""How far the values of the best candidates differ from those of all: PED-ANOVA, computed by Optuna.

Watanabe, Bansal and Hutter (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
subspaces". Optuna takes a second to import, so it is imported only when needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.study.dimensions import AnyDimension, FloatRange, IntRange

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

NUM_SHUFFLES = 19
"""With nineteen shuffles of the scores, a field without influence exceeds all of them one time in twenty."""

Value = float | str
Fields = dict[str, Value]
"""Field -> value: a number, or the name of a choice."""


def is_log(name: str, space: Mapping[str, AnyDimension]) -> bool:
    """Return whether a field is searched on a logarithmic scale."""
    dimension = space.get(name)
    return isinstance(dimension, IntRange | FloatRange) and dimension.log


def measure_divergence(
    points: Sequence[Fields],
    names: Sequence[str],
    losses: Sequence[float],
    quantile: float,
    space: Mapping[str, AnyDimension],
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure, by PED-ANOVA, how far each field's values among the best candidates diverge from those among all.

    Args:
        points: the fields of every candidate.
        names: the fields to measure; each must vary.
        losses: of every candidate; lower is better.
        quantile: fraction of the candidates that counts as the best.
        space: the search dimensions of fields, if known.

    Returns:
        Each field's divergence, and its maximum over NUM_SHUFFLES repetitions with shuffled losses.
    """
    rng = np.random.default_rng(0)
    with _quiet():
        columns = {name: [point[name] for point in points if name in point] for name in names}
        choices = {name: sorted(map(str, set(values))) for name, values in columns.items()}
        distributions = {name: _distribute(name, values, space) for name, values in columns.items()}
        plain = [
            {
                name: v if isinstance(v, float) else choices[name].index(v)
                for name, v in point.items()
                if name in columns
            }
            for point in points
        ]
        own = _evaluate(plain, distributions, losses, quantile)
        shuffled = [
            _evaluate(plain, distributions, [float(loss) for loss in rng.permutation(losses)], quantile)
            for _ in range(NUM_SHUFFLES)
        ]
    return own, {name: max(each[name] for each in shuffled) for name in names}


def _distribute(name: str, values: Sequence[Value], space: Mapping[str, AnyDimension]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        return CategoricalDistribution(range(len(set(values))))
    if all(number.is_integer() for number in numbers) and not isinstance(space.get(name), FloatRange):
        return IntDistribution(int(min(numbers)), int(max(numbers)), log=is_log(name, space))
    return FloatDistribution(min(numbers), max(numbers), log=is_log(name, space))


def _evaluate(
    points: Sequence[Mapping[str, Any]],
    distributions: Mapping[str, BaseDistribution],
    losses: Sequence[float],
    quantile: float,
) -> dict[str, float]:
    import optuna

    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(point), distributions={name: distributions[name] for name in point}, value=loss
            )
            for point, loss in zip(points, losses, strict=True)
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)
    return {name: max(0.0, float(found.get(name, 0.0))) for name in distributions}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna, which would log each call as a search."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
