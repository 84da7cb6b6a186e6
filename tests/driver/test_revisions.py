"""What is computed another way than it was has another identity; all else keeps the one it had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.data.source import DataSource
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.identity import identify
from bakeoff.messages import ENGINE_VERSION
from bakeoff.study.plan import Plan, trial_content, trial_id

IMAGENET = {"augmentation": [{"name": "normalize", "mean": "imagenet"}]}
RESNET = {"network": {"name": "torchvision:resnet18"}}


@pytest.mark.parametrize(
    ("recipe", "num_channels", "revised"),
    [
        ({}, 1, []),
        ({"schedule": "cosine"}, 1, []),
        ({"schedule": "one_cycle"}, 3, ["one_cycle"]),
        ({"mix": "mixup", "schedule": "one_cycle"}, 1, ["one_cycle", "mix"]),
        ({"mix": "cutmix"}, 1, ["mix"]),
        (RESNET, 1, []),
        (IMAGENET, 1, []),
        ({**RESNET, **IMAGENET}, 3, []),
        ({**RESNET, **IMAGENET}, 1, ["grey"]),
        ({**RESNET, "augmentation": [{"name": "normalize", "mean": "data"}]}, 1, []),
    ],
)
def test_only_what_is_computed_another_way_has_another_identity(
    recipe: dict[str, Any], num_channels: int, revised: list[str], facts: ImageFacts, make_plan: Callable[..., Plan]
) -> None:
    found = replace(facts, shape_HWC=(8, 8, num_channels))
    (planned,) = make_plan(1, recipe={"network": {"name": "mlp"}, **recipe}).trials
    known = identify(planned, {DataSource(name="digits"): found}, "float32")
    before = trial_content(
        planned, fingerprint=found.fingerprint, numeric="float32", engine_version=str(ENGINE_VERSION)
    )
    assert list(known.content.get("revisions", {})) == revised
    assert (known.trial_id == trial_id(before)) == (not revised)


def test_the_metrics_of_a_study_are_part_of_a_candidate_s_identity_only(
    facts: ImageFacts, make_plan: Callable[..., Plan]
) -> None:
    (planned,) = make_plan(1, decide={"metric": "brier"}).trials
    assert planned.metrics == ("brier",)
    datasets = {DataSource(name="digits"): facts}
    others = [replace(planned, metrics=()), replace(planned, metrics=(), stage="search")]
    plain, candidate = (identify(each, datasets, "float32").trial_id for each in others)
    assert identify(planned, datasets, "float32").trial_id == plain == candidate
    searched = identify(replace(planned, stage="search"), datasets, "float32")
    assert searched.trial_id != candidate
    assert searched.content["metrics"] == ["brier"]
