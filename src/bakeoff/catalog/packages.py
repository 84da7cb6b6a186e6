"""Finds the installed packages that a trial's choices come from; their versions are part of its id. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from bakeoff.catalog.augmentation.records import AUGMENTATIONS
from bakeoff.catalog.averaging import AVERAGINGS
from bakeoff.catalog.initializers import INITIALIZERS
from bakeoff.catalog.losses import LOSSES
from bakeoff.catalog.mixing import MIXES
from bakeoff.catalog.networks.named import NETWORKS
from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import SCHEDULES
from bakeoff.registry import Origin, Registry
from bakeoff.stats.metrics import METRICS


def list_packages(recipe: Recipe, metrics: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of the other distributions whose entries a trial uses; empty if all are ours.

    Of the optimizers of an extra, too.

    Args:
        recipe: the choices.
        metrics: the study's metrics.
    """
    names = _list_names(recipe, metrics)
    origins: list[Origin] = [found for kind, name in names if (found := kind.find_origin(name)) is not None]
    versions = {origin.distribution: origin.version for origin in sorted(origins, key=str)}
    extra = OPTIMIZERS.find(recipe.optimizer.name).needs
    return versions | ({extra: version(extra)} if extra else {})


def _list_names(recipe: Recipe, metrics: Iterable[str]) -> Iterator[tuple[Registry[Any], str]]:
    yield NETWORKS, recipe.network.name
    yield INITIALIZERS, recipe.initializer.name
    yield OPTIMIZERS, recipe.optimizer.name
    yield SCHEDULES, recipe.schedule.name
    yield LOSSES, recipe.loss.name
    for step in recipe.augmentation:
        yield AUGMENTATIONS, step.name
    if recipe.mix is not None:
        yield MIXES, recipe.mix.name
    if recipe.averaging is not None:
        yield AVERAGINGS, recipe.averaging.name
    for metric in (*metrics, *list_monitored(recipe)):
        yield METRICS, metric


def list_monitored(recipe: Recipe) -> tuple[str, ...]:
    """Return the metrics that early stopping and the schedule monitor."""
    monitors = (getattr(part, "monitor", None) for part in (recipe.early_stopping, recipe.schedule))
    return tuple(filter(None, monitors))
