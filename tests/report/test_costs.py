"""What arms cost: averages that add up, sizes from a file's header alone."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bakeoff.ledger.costs import CostRow
from bakeoff.ledger.features import FeatureShare
from bakeoff.report.costs import describe_costs, describe_features, measure_weights
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.stats.results import MeanSd


def make_row(arm: str, trial: str, parameters: int | None = 10, per_image: float | None = 0.01) -> CostRow:
    return CostRow(trial, "b", arm, parameters, 4, 2.0, per_image)


def make_ensemble(members: tuple[str, ...], over: str = "arms") -> EnsembleReport:
    return EnsembleReport(
        block="b",
        label="vote",
        by="soft",
        over=over,
        members=members,
        split="test",
        metric="accuracy",
        num_votes=1,
        num_models=2,
        score=MeanSd(0.9, None),
        before=members[0],
        before_score=0.8,
        mean_score=0.8,
        weights={},
        fitted=None,
        classes=(),
        sentence="",
    )


def test_an_arm_has_the_means_of_its_trials(tmp_path: Path) -> None:
    save_file({"w": np.zeros((3, 5), np.float32)}, tmp_path / "t2")
    rows = [make_row("a", "t1", per_image=0.01), make_row("a", "t2", per_image=0.03)]
    (cost,) = describe_costs(rows, (), lambda trial: tmp_path / trial)
    assert (cost.num_parameters, cost.model_bytes, cost.epochs_per_second) == (10, 60, 2.0)
    assert cost.images_per_second == pytest.approx(50)  # 200 images in 1 s + 3 s, not the mean of 100 and 33


def test_what_features_took_and_who_bears_it(tmp_path: Path) -> None:
    rows = [replace(make_row(arm, f"t {arm}"), features=FeatureShare("k", 120.0, 40.0)) for arm in "abc"]
    (sentence,) = describe_features([*rows, make_row("whole", "t4")])
    assert all(part in sentence for part in ("computed once, in 2 min", "3 trials", "40 s", ": a, b, c."))
    assert [
        cost.feature_seconds for cost in describe_costs([*rows, make_row("whole", "t4")], (), tmp_path.joinpath)
    ] == [
        *[40.0] * 3,
        None,
    ]


def test_an_ensemble_of_arms_has_the_sum_of_its_members(tmp_path: Path) -> None:
    save_file({"w": np.zeros(2, np.float32)}, tmp_path / "t1")
    rows = [make_row("a", "t1", 10), make_row("b", "t2", 5)]
    costs = describe_costs(rows, (make_ensemble(("a", "b")),), lambda trial: tmp_path / trial)
    assert (costs[-1].arm, costs[-1].num_parameters) == ("vote", 15)
    assert costs[-1].model_bytes is None  # b's weights are gone
    assert len(describe_costs(rows, (make_ensemble(("a", "gone")),), lambda trial: tmp_path / trial)) == 2
    assert len(describe_costs(rows, (make_ensemble(("a",), "replicates"),), lambda trial: tmp_path / trial)) == 2


def test_nothing_known_is_none(tmp_path: Path) -> None:
    (cost,) = describe_costs([make_row("a", "t1", None, None)], (), lambda trial: tmp_path / trial)
    assert (cost.num_parameters, cost.model_bytes, cost.images_per_second) == (None, None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + json.dumps({"w": 1}).encode().ljust(9),
    ],
)
def test_what_is_no_safetensors_file_has_no_size(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert measure_weights(path) is None
