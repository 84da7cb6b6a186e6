from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.render.json import build_document
from bakeoff.study.published import Figure

MakeReport = Callable[..., ReportInput]


def round_trip(report: ReportInput) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(build_document(report), allow_nan=False))
    return document


def test_document_has_every_promised_key(make_report: MakeReport) -> None:
    document = round_trip(make_report())
    assert document["study"] == "quickstart"
    assert document["state"] == "done"
    assert document["trials"] == {"planned": 15, "done": 15, "failed": 0, "reused": 0}
    assert document["final_test"] == {
        "opened": 1,
        "opened_at": ["2025-01-31T12:00:59+00:00"],
        "changed_after": [],
        "looks": [],
        "trials": 15,
    }
    assert document["report"] == "runs/quickstart/verdict.md"
    arm = document["arms"][0]
    assert (arm["block"], arm["arm"], arm["replicates"]) == ("digits", "orthogonal", 5)
    for split in ("train", "validation", "test"):
        assert set(arm[split]["accuracy"]) == {"mean", "sd"}
    verdict = document["verdicts"][0]
    assert {"block", "a", "b", "metric", "difference", "interval", "verdict"} <= set(verdict)
    assert (verdict["a"], verdict["b"], verdict["verdict"]) == ("orthogonal", "random_normal", "better")
    assert verdict["interval"][0] < verdict["difference"] < verdict["interval"][1]
    assert document["answers"][0]["best"] == "orthogonal"
    assert {"failures", "numeric", "hardware", "versions", "published", "command"} <= set(document)


@pytest.mark.parametrize("num_replicates", [1, 2])
def test_undefined_values_are_null(make_report: MakeReport, num_replicates: int) -> None:
    document = round_trip(make_report(num_replicates=num_replicates))
    verdict = document["verdicts"][0]
    assert verdict["verdict"] == "inconclusive"
    assert verdict["p_adjusted"] is None
    if num_replicates < 2:
        assert verdict["interval"] is None


def test_what_was_never_compared_is_not_called_inconclusive(make_report: MakeReport) -> None:
    assert round_trip(make_report(num_replicates=0))["verdicts"] == []
    lost = make_report(failed=[("orthogonal", replicate) for replicate in range(5)])
    pairs = {(verdict["a"], verdict["b"]) for verdict in round_trip(lost)["verdicts"]}
    assert pairs == {("random_normal", "random_uniform")}


def test_failures_are_listed(make_report: MakeReport) -> None:
    document = round_trip(make_report(failed=[("orthogonal", 2)]))
    assert document["trials"]["failed"] == 1
    assert document["failures"] == [
        {
            "trial": "00020000",
            "block": "digits",
            "arm": "orthogonal",
            "replicate": 3,
            "fold": None,
            "reason": "loss became NaN in epoch 3",
        }
    ]


def test_published_figures_stand_beside_the_measured(make_report: MakeReport) -> None:
    figures = (
        Figure(arm="orthogonal", metric="accuracy", value=0.97),
        Figure(arm="unknown", metric="loss", value=1.0, block="x", split="train"),
    )
    report = make_report(blocks=("x", "y"), published=figures)
    rows = round_trip(report)["published"]["figures"]
    assert [(row["block"], row["arm"], row["split"]) for row in rows] == [
        ("x", "orthogonal", "test"),
        ("y", "orthogonal", "test"),
        ("x", "unknown", "train"),
    ]
    assert rows[0]["measured"]["mean"] == pytest.approx(report.summary.arms[0].test["accuracy"].mean)
    assert rows[2]["measured"] is None
    assert round_trip(make_report(published=()))["published"] is None


def test_names_survive_unchanged(make_report: MakeReport) -> None:
    names = ("[red]|x", "<script>\x1b\u202e")
    assert [arm["arm"] for arm in round_trip(make_report(arms=names))["arms"]] == list(names)
