"""Finds entries that a recorded study names but no installed package adds, for example after an uninstall."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bakeoff.catalog.augmentation.records import AUGMENTATIONS
from bakeoff.catalog.averaging import AVERAGINGS
from bakeoff.catalog.initializers import INITIALIZERS
from bakeoff.catalog.losses import LOSSES
from bakeoff.catalog.mixing import MIXES
from bakeoff.catalog.networks.named import NETWORKS
from bakeoff.catalog.networks.outside import is_outside
from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.schedules import SCHEDULES
from bakeoff.data.registry import DATASETS
from bakeoff.ledger.tables import read_packages
from bakeoff.registry import Registry
from bakeoff.stats.metrics import METRICS
from bakeoff.study.search import SEARCHES
from bakeoff.study.search_settings import COSTS

_REGISTRIES: Mapping[str, Registry[Any]] = {
    "network": NETWORKS,
    "initializer": INITIALIZERS,
    "optimizer": OPTIMIZERS,
    "optimizers": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
    "augmentation": AUGMENTATIONS,
    "mix": MIXES,
    "averaging": AVERAGINGS,
    "data": DATASETS,
    "search": SEARCHES,
    "metric": METRICS,
    "monitor": METRICS,
    "objectives": METRICS,
}
"""The last part of a field's path -> the registry of the names in it."""

_PARTS = ("data", "recipe", "blocks", "arms", "search", "decide")


def describe_missing(connection: sqlite3.Connection, study_id: str, document: Mapping[str, Any]) -> str:
    """Return a sentence that names a study's missing entries and what to install; empty if none is missing."""
    found = [each for part in _PARTS for each in _list_named(part, document.get(part))]
    missing = dict.fromkeys(f"{registry.kind} {name!a}" for registry, name in found if _is_missing(registry, name))
    if not missing:
        return ""
    packages = [*_list_changed_packages(connection, study_id)]
    remedy = f"install {', '.join(packages)}" if packages else "install the package that adds it"
    return f"the study uses {', '.join(missing)}, which no installed package adds: {remedy}, and try again."


def _is_missing(registry: Registry[Any], name: str) -> bool:
    if registry is NETWORKS and is_outside(name):
        return False
    return registry.get(name) is None and not (registry is METRICS and name in COSTS)


def _list_named(key: str, value: object) -> Iterator[tuple[Registry[Any], str]]:
    """Yield (registry, name) for every entry named in a part of a study file."""
    *outer, last = key.split(".")
    field = outer[-1] if last == "name" and outer else last
    registry = _REGISTRIES.get(field)
    if isinstance(value, str):
        if registry is not None:
            yield registry, value
    elif isinstance(value, list):
        for item in value:
            yield from _list_named(key, item)
    elif isinstance(value, Mapping):
        if registry is not None and isinstance(value.get("name"), str):
            yield registry, value["name"]
        for inner, part in value.items():
            yield from _list_named(key if inner == "values" else str(inner), part)


def _list_changed_packages(connection: sqlite3.Connection, study_id: str) -> Iterator[str]:
    """Yield the packages that the study's trials used, with version, unless this version is installed."""
    for name, used in read_packages(connection, study_id).items():
        try:
            if version(name) == used:
                continue
        except PackageNotFoundError:
            pass
        yield f"{name} {used}"
