"""The published schema of results: kept, valid, and followed by the documents of many kinds of studies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.render.json import build_document
from bakeoff.report.result_schema import result_schema

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "result.schema.json"


def test_the_published_schema_is_the_present_one() -> None:
    """If a key was added: `bakeoff schema --result > docs/result.schema.json`. Keys are never removed or changed."""
    assert json.loads(SCHEMA.read_text("utf-8")) == result_schema()
    jsonschema.Draft202012Validator.check_schema(result_schema())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"margin": 0.002, "metric": "loss"},
        {"failed": [("random_normal", 0)]},
        {"test": False, "state": "unfinished", "report_path": None},
        {"blocks": ("digits", "photos", "letters")},
        {"arms": ("alone",), "num_replicates": 1, "published": ()},
    ],
)
def test_documents_follow_it(fields: dict[str, Any], make_report: Callable[..., ReportInput]) -> None:
    document = json.loads(json.dumps(build_document(make_report(**fields)), allow_nan=False))
    jsonschema.Draft202012Validator(result_schema()).validate(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "bakeoff.result/2"),
        (("verdicts", 0, "verdict"), "best"),
        (("verdicts", 0, "difference"), "0.1"),
        (("decide", "margin"), "none"),
        (("arms", 0, "scores", 0, "replicate"), 0),
        (("trials", "done"), None),
    ],
)
def test_it_is_strict(path: tuple[Any, ...], value: object, make_report: Callable[..., ReportInput]) -> None:
    document = json.loads(json.dumps(build_document(make_report())))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not jsonschema.Draft202012Validator(result_schema()).is_valid(document)
    del place[path[-1]]
    assert not jsonschema.Draft202012Validator(result_schema()).is_valid(document)
