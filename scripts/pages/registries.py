"""What a study can name: each kind with its registry and the page that lists it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from bakeoff.cli.listing import Listing, list_records
from bakeoff.foreign.importers import IMPORTERS

KIND_OF_FIELD: Mapping[str, str] = {
    "recipe.network": "networks",
    "recipe.optimizer": "optimizers",
    "recipe.schedule": "schedules",
    "recipe.loss": "losses",
    "recipe.augmentation": "augmentations",
    "recipe.mix": "mixes",
    "recipe.averaging": "averagings",
    "search": "searches",
}
"""Fields of a study whose value is an entry of a registry; other pages list them."""


def list_kind(kind: str) -> list[Any]:
    """Return the entries of a kind, as `bakeoff list` does."""
    return list(IMPORTERS) if kind == "importers" else list(list_records(Listing(kind)))


@cache
def _find_all() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for kind in KIND_OF_FIELD.values():
        for entry in list_kind(kind):
            if settings := getattr(entry, "settings", None):
                found.setdefault(settings.__name__, kind)
    return found


def find_entry(record: str) -> str:
    """Return the kind whose page shows a record of settings; empty if it is no registered entry's."""
    return _find_all().get(record, "")
