"""Entries that a recorded study names but that are no longer installed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from bakeoff.ledger.missing import describe_missing
from bakeoff.ledger.schema import TABLES


def describe(**document: Any) -> str:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        return describe_missing(connection, "id", document)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"arms": [{"optimizer": ["adam", "gone"]}]}, "optimizer 'gone'"),
        ({"arms": [{"optimizer": {"epochs": 1}, "b": {"optimizer.name": "gone"}}]}, "optimizer 'gone'"),
        ({"recipe": {"augmentation": ["normalize", {"name": "gone", "size": 3}]}}, "augmentation 'gone'"),
        ({"data": {"name": "gone"}, "decide": {"metric": "lost"}}, "dataset 'gone', metric 'lost'"),
        ({"search": {"name": "optuna", "space": {"loss": {"values": ["focal", "gone"]}}}}, "loss 'gone'"),
    ],
)
def test_what_is_missing_is_named_with_its_kind(document: dict[str, Any], named: str) -> None:
    assert describe(**document) == (
        f"the study uses {named}, which no installed package adds: install the package that adds it, and try again."
    )


def test_ours_and_those_of_other_libraries_are_not_missing() -> None:
    assert not describe(
        name="gone",
        data={"name": "digits"},
        recipe={"network": "timm:resnet18", "optimizer": "sgd"},
        blocks=[{"network": ["lenet", {"name": "layers", "layers": []}]}, {"loss": {"epochs": 3}}],
        search={"name": "optuna", "objectives": ["accuracy", "parameters"]},
        published={"figures": [{"metric": "precision"}]},
    )
