"""Finds the checks of all entries that an installed package adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution
from typing import Any

from bakeoff.testing.records import (
    check_averaging,
    check_dataset,
    check_importer,
    check_initializer,
    check_metric,
    check_observer,
    check_schedule,
    check_search,
)
from bakeoff.testing.require import require
from bakeoff.testing.sections import check_section
from bakeoff.testing.tensors import check_augmentation, check_loss, check_mix, check_network, check_optimizer

CHECKS: Mapping[str, Callable[[Any], None]] = {
    "networks": check_network,
    "initializers": check_initializer,
    "augmentations": check_augmentation,
    "mixes": check_mix,
    "optimizers": check_optimizer,
    "schedules": check_schedule,
    "losses": check_loss,
    "averagings": check_averaging,
    "metrics": check_metric,
    "datasets": check_dataset,
    "searches": check_search,
    "observers": check_observer,
    "importers": check_importer,
    "sections": check_section,
}
"""The check of each kind; its group of entry points is `bakeoff.KIND`."""


def find_checks(package: str) -> dict[str, Callable[[], None]]:
    """Return the checks of a package's entries, by kind and name such as `optimizers sign_sgd`.

    Args:
        package: the name that it is installed under.

    Raises:
        AssertionError: it is not installed, adds nothing, or declares a group of entry points that there is not.
    """
    try:
        points = distribution(package).entry_points
    except PackageNotFoundError as error:
        raise AssertionError(f"{package} is not installed: pip install .") from error
    ours = [point for point in points if point.group.partition(".")[0] == "bakeoff"]
    require(ours, f"{package}: it declares no entry point in a group bakeoff.KIND")
    for point in ours:
        kind = point.group.removeprefix("bakeoff.")
        require(kind in CHECKS, f"{package}: there is no group {point.group}. Kinds: {', '.join(CHECKS)}")
    return {f"{point.group.removeprefix('bakeoff.')} {point.name}": partial(_check, point) for point in ours}


def _check(point: EntryPoint) -> None:
    CHECKS[point.group.removeprefix("bakeoff.")](point.load())
