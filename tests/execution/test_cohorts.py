"""Who trains beside whom follows from the plan alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.data.registry import DATASETS
from bakeoff.execution.cohorts import MOST_MEMBERS, Group, ImageFacts, group_trials, name_cohort
from bakeoff.study.plan import Plan, PlannedTrial, expand
from bakeoff.study.schema import Study

FACTS = {record.name: ImageFacts.of_registered(record.name) for record in DATASETS}


def plan(**fields: Any) -> tuple[PlannedTrial, ...]:
    values = {"recipe": {"network": {"name": "mlp", "units": [8]}}, "replicates": 1, **fields}
    return expand(Study(question="Which?", **values)).trials


def group(trials: tuple[PlannedTrial, ...]) -> tuple[Group, ...]:
    return group_trials(trials, FACTS)


FUSED: dict[str, dict[str, Any]] = {
    "optimizers": {"arms": [{"optimizer": ["sgd", "adam", {"name": "rmsprop", "learning_rate": 0.1}]}]},
    "initializers": {"arms": [{"initializer": ["he_normal", "orthogonal"]}]},
    "dropout rates": {"arms": [{"network": [{"name": "mlp", "dropout": rate} for rate in (0.1, 0.2, 0.5)]}]},
    "epochs": {"arms": [{"epochs": [1, 2, 3]}]},
    "early stopping": {"arms": [{"early_stopping": [{"patience": 1}, {"patience": 2}]}]},
}
SEPARATE: dict[str, dict[str, Any]] = {
    "batch sizes": {"arms": [{"batch_size": [16, 32]}]},
    "widths": {"arms": [{"network.units": [[8], [9]]}]},
    "activations": {"arms": [{"network.activation": ["relu", "tanh"]}]},
    "networks": {"arms": [{"network": ["mlp", "cnn"]}]},
    "dropout or none": {"arms": [{"network": [{"name": "mlp", "dropout": rate} for rate in (0.0, 0.2)]}]},
    "data sets of equal shape": {"blocks": [{"data.name": ["mnist", "fashion-mnist"]}], "arms": [{"epochs": [3]}]},
    "validation shares": {"blocks": [{"data.validation": [0.1, 0.2]}], "arms": [{"epochs": [3]}]},
    "replicates": {"replicates": 2, "arms": [{"epochs": [3]}]},
}


@pytest.mark.parametrize("fields", FUSED.values(), ids=FUSED)
def test_what_shares_batches_and_arithmetic_is_fused(fields: dict[str, Any]) -> None:
    trials = plan(**fields)
    assert [found.trials for found in group(trials)] == [trials]


@pytest.mark.parametrize("fields", SEPARATE.values(), ids=SEPARATE)
def test_what_does_not_is_never_fused(fields: dict[str, Any]) -> None:
    assert [len(found.trials) for found in group(plan(**fields))] == [1, 1]


def test_blocks_that_differ_in_optimizer_only_train_together(make_plan: Callable[..., Plan]) -> None:
    trials = make_plan(2, blocks=[{"short": {"epochs": 1}, "long": {"epochs": 2}}]).trials
    assert [len(found.trials) for found in group(trials)] == [4]


@pytest.mark.parametrize(
    ("number", "sizes"),
    [(1, [1]), (MOST_MEMBERS, [12]), (13, [6, 7]), (25, [8, 8, 9]), (36, [12, 12, 12]), (37, [9, 9, 9, 10])],
)
def test_large_groups_are_cut_into_few_equal_parts(
    make_plan: Callable[..., Plan], number: int, sizes: list[int]
) -> None:
    trials = make_plan(number).trials
    groups = group(trials)
    assert sorted(len(found.trials) for found in groups) == sizes
    assert sorted(t.arm for found in groups for t in found.trials) == sorted(t.arm for t in trials)


def test_grouping_depends_on_the_plan_alone(make_plan: Callable[..., Plan]) -> None:
    trials = list(make_plan(20, replicates=3, blocks=[{"batch_size": [16, 32]}]).trials)
    assert group(tuple(trials)) == group(tuple(trials))
    # Other trials beside them change nothing for those that are not in their groups.
    alone = set(group(tuple(t for t in trials if t.replicate == 1)))
    assert alone == {found for found in group(tuple(trials)) if found.trials[0].replicate == 1}


def test_the_order_of_replicates_does_not_matter(make_plan: Callable[..., Plan]) -> None:
    by_replicate = [make_plan(5, replicates=4).trials[5 * n : 5 * n + 5] for n in range(4)]
    expected = set(group(tuple(t for part in by_replicate for t in part)))
    random.Random(0).shuffle(by_replicate)
    assert set(group(tuple(t for part in by_replicate for t in part))) == expected


def test_the_costliest_come_first() -> None:
    trials = plan(
        arms=[
            {
                "small": {"epochs": 2},
                "wide": {"network.units": [512], "epochs": 2},
                "long": {"network.activation": "tanh", "epochs": 2_000},
            }
        ]
    )
    assert [found.trials[0].arm for found in group(trials)] == ["long", "wide", "small"]
    costs = [found.most_operations for found in group(trials)]
    assert costs == sorted(costs, reverse=True)


def test_the_cost_of_a_group_is_its_multiply_adds() -> None:
    (found,) = group(plan(arms=[{"epochs": [2, 3]}], data={"name": "digits", "validation": 0.25}))
    images = FACTS["digits"].num_images
    num_validation = round(images / 4)
    per_image = 64 * 8 + 8 * 10
    assert found.num_operations == per_image * (3 * (images - num_validation) + num_validation)
    assert found.most_operations == found.num_operations * 5


def test_a_label_is_for_people() -> None:
    (found,) = group(plan(arms=[{"epochs": [2, 3]}]))
    assert found.label == "digits, replicate 1"


def test_a_cohort_is_named_by_its_trials() -> None:
    assert name_cohort(["a", "b"]) == name_cohort(["a", "b"])
    assert len({name_cohort(ids) for ids in (["a", "b"], ["b", "a"], ["a"], ["ab"], [])}) == 5


def test_registered_and_opened_facts_agree(facts: ImageFacts) -> None:
    registered = FACTS["digits"]
    assert (registered.shape_HWC, registered.num_classes, registered.num_images) == (
        facts.shape_HWC,
        facts.num_classes,
        facts.num_images,
    )
    assert len(facts.fingerprint) == 64
