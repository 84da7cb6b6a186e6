"""Who trains beside whom follows from the plan alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.data.registry import DATASETS
from bakeoff.data.source import DataSource
from bakeoff.driver.cohorts import MOST_MEMBERS, MOST_ON_A_CARD, Group, group_trials, limits_of, name_cohort
from bakeoff.driver.costs import is_cost_known
from bakeoff.driver.devices import Device
from bakeoff.driver.facts import ImageFacts
from bakeoff.search.searching import Searching
from bakeoff.study.plan import Plan, PlannedTrial, expand
from bakeoff.study.schema import Study

SOURCES = [DataSource(name=record.name) for record in DATASETS]
FACTS = {source: facts for source in SOURCES if (facts := ImageFacts.of_source(source)) is not None}
DIGITS = FACTS[DataSource(name="digits")]
FACTS |= {DataSource(name="digits", subset=share): DIGITS for share in (0.25, 0.5)}


def plan(**fields: Any) -> tuple[PlannedTrial, ...]:
    values = {"recipe": {"network": {"name": "mlp", "units": [8]}}, "replicates": 1, **fields}
    return expand(Study(question="Which?", **values)).trials


def group(trials: tuple[PlannedTrial, ...]) -> tuple[Group, ...]:
    return group_trials(trials, FACTS)


MLP = {"name": "mlp", "units": [8]}
FROZEN = {"network": MLP, "transfer": {"weights": {"trial": "abcd"}, "freeze": "always"}}
OUTSIDE = {"network": "torchvision:resnet18", "transfer": {"weights": "imagenet", "freeze": "always"}}
FUSED: dict[str, dict[str, Any]] = {
    "optimizers": {"arms": [{"optimizer": ["sgd", "adam", {"name": "rmsprop", "learning_rate": 0.1}]}]},
    "initializers": {"arms": [{"initializer": ["he_normal", "orthogonal"]}]},
    "dropout rates": {"arms": [{"network": [{"name": "mlp", "dropout": rate} for rate in (0.1, 0.2, 0.5)]}]},
    "epochs": {"arms": [{"epochs": [1, 2, 3]}]},
    "schedules": {"arms": [{"schedule": ["constant", {"name": "cosine"}]}]},
    "accumulation": {"arms": [{"accumulate": [1, 4]}]},
    "losses": {"arms": [{"label_smoothing": [0.0, 0.1]}, {"class_weights": [None, "balanced"]}]},
    "clipping": {"arms": [{"clip": [None, {"norm": 1.0}]}]},
    "averaging": {"arms": [{"averaging": [None, "ema"]}]},
    "mixing": {"arms": [{"mix": [None, "mixup", "cutmix"]}]},
    "augmentation of equal shape": {"arms": [{"augmentation": [[], ["horizontal_flip"]]}]},
    "weights to begin with": {"arms": [{"transfer": [None, {"weights": {"trial": "abcd"}}]}]},
    "rates of the body": {"arms": [{"transfer": [{"freeze": 1}, {"freeze": 1, "body_rate": 0.1}]}]},
    "heads of one frozen body": {"recipe": FROZEN, "arms": [{"label_smoothing": [0.0, 0.1]}]},
    "outside networks' heads on one frozen body": {"recipe": OUTSIDE, "arms": [{"network.dropout": [0.2, 0.5]}]},
    "dropout of heads on one frozen body": {
        "recipe": {**FROZEN, "network": {"name": "mlp", "units": [8], "dropout": 0.1}},
        "arms": [{"network.dropout": [0.2, 0.5]}],
    },
    "early stopping": {"arms": [{"early_stopping": [{"patience": 1}, {"patience": 2}]}]},
}
SEPARATE: dict[str, dict[str, Any]] = {
    "batch sizes": {"arms": [{"batch_size": [16, 32]}]},
    "widths": {"arms": [{"network.units": [[8], [9]]}]},
    "activations": {"arms": [{"network.activation": ["relu", "tanh"]}]},
    "networks": {"arms": [{"network": ["mlp", "cnn"]}]},
    "dropout or none": {"arms": [{"network": [{"name": "mlp", "dropout": rate} for rate in (0.0, 0.2)]}]},
    "augmented shapes": {"arms": [{"augmentation": [[], [{"name": "center_crop", "size": 6}]]}]},
    "epochs of a frozen body": {"arms": [{"transfer": [{"freeze": 1}, {"freeze": 2}]}]},
    "batch norm of a body": {"arms": [{"transfer": [{"freeze": 1}, {"freeze": 1, "freeze_norm": True}]}]},
    "what of the body is frozen": {
        "recipe": {"network": {"name": "cnn", "filters": [4], "units": [8]}},
        "arms": [{"transfer": [{"freeze": 1}, {"freeze": 1, "body": "convolutions"}]}],
    },
    "frozen or not": {
        "arms": [{"transfer": [{"weights": {"trial": "abcd"}}, {"weights": {"trial": "abcd"}, "freeze": "always"}]}]
    },
    "frozen bodies of other weights": {"recipe": FROZEN, "arms": [{"transfer.weights.trial": ["abcd", "abce"]}]},
    "frozen bodies that see other images": {"recipe": FROZEN, "arms": [{"augmentation": [[], ["horizontal_flip"]]}]},
    "widths of outside networks' heads": {"recipe": OUTSIDE, "arms": [{"network.units": [[], [4]]}]},
    "outside networks": {
        "recipe": {"network": "torchvision:resnet18"},
        "arms": [{"optimizer.learning_rate": [0.1, 0.2]}],
    },
    "subsets": {"blocks": [{"data.subset": [0.25, 0.5]}], "arms": [{"epochs": [3]}]},
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
    images = DIGITS.num_images
    num_validation = round(images / 4)
    per_image = 64 * 8 + 8 * 10
    assert found.cost.num_operations == per_image * (3 * (images - num_validation) + num_validation)
    assert found.most_operations == found.cost.num_operations * 5


def test_a_frozen_body_costs_a_cohort_nothing_where_its_features_are_computed_before() -> None:
    def measure(**fields: Any) -> Group:
        recipe = {**FROZEN, "epochs": 4, **fields.pop("recipe", {})}
        (found,) = group(plan(recipe=recipe, arms=[{"label_smoothing": [0.0, 0.1]}], **fields))
        return found

    cached = measure()
    assert cached.cost.num_body_operations == 64 * 8 * DIGITS.num_images
    assert cached.cost.num_body_passes == 0
    assert cached.most_operations == cached.cost.num_operations * 8
    flipped = {"blocks": [{"augmentation": [["horizontal_flip"]]}]}
    running = measure(**flipped)
    assert running.cost.num_body_passes == 4
    assert running.most_operations == cached.most_operations + 4 * cached.cost.num_body_operations
    drawn = {"transfer": {**FROZEN["transfer"], "feature_draws": 2}}
    assert measure(recipe=drawn, **flipped).cost.num_body_passes == 0


def test_heads_on_one_body_train_as_one_cohort_unless_their_draws_differ() -> None:
    def count(*, kind: str, **fields: Any) -> list[int]:
        recipe = {**FROZEN, "augmentation": ["horizontal_flip"], "transfer": {**FROZEN["transfer"], "feature_draws": 2}}
        axes = {
            "optimizer": [{"name": "adam", "learning_rate": 0.01}, {"name": "sgd", "learning_rate": 0.1}],
            "initializer": ["he_normal", "glorot_uniform"],
            **fields,
        }
        limits = limits_of(Device(kind=kind, num_bytes=2**34))  # type: ignore[arg-type]
        trials = plan(recipe=recipe, arms=[{name: values} for name, values in axes.items()], replicates=2)
        return sorted(len(found.trials) for found in group_trials(trials, FACTS, limits))

    # Augmented features are those of a replicate.
    assert count(kind="cpu") == count(kind="cuda") == [4, 4]
    assert count(kind="cuda", **{"transfer.feature_draws": [2, 3]}) == [4, 4, 4, 4]


def test_frozen_bodies_that_differ_in_weights_alone_need_one_probe() -> None:
    groups = group(plan(recipe=FROZEN, arms=[{"transfer.weights.trial": ["abcd", "abce"]}]))
    assert len(groups) == 2
    assert len({found.shape for found in groups}) == 1
    wider = group(plan(recipe={**FROZEN, "network": {"name": "mlp", "units": [16]}}, arms=[{"batch_size": [32]}]))
    assert wider[0].shape != groups[0].shape


def test_outside_networks_cost_what_was_published_for_them() -> None:
    recipe = {"network": "torchvision:resnet18", "epochs": 1, "augmentation": [{"name": "resize", "size": 224}]}
    (found,) = group(plan(recipe=recipe, arms=[{"batch_size": [32]}]))
    num_train = DIGITS.count_train(found.trials[0])
    per_image = 1_814_000_000 + 512 * 10
    assert found.cost.num_operations == per_image * (2 * num_train + DIGITS.num_images)
    assert is_cost_known(found.trials[0].recipe, DIGITS.shape_HWC)
    (unknown,) = plan(recipe={"network": "timm:resnet18"}, arms=[{"batch_size": [32]}])
    assert not is_cost_known(unknown.recipe, DIGITS.shape_HWC)


def test_a_label_is_for_people() -> None:
    (found,) = group(plan(arms=[{"epochs": [2, 3]}]))
    assert found.label == "digits, replicate 1"


def test_a_cohort_is_named_by_its_trials() -> None:
    assert name_cohort(["a", "b"]) == name_cohort(["a", "b"])
    assert len({name_cohort(["a"], *rest) for rest in ((), (1,), (None, 2), (None, 3), (1, 2))}) == 5
    assert len({name_cohort(ids) for ids in (["a", "b"], ["b", "a"], ["a"], ["ab"], [])}) == 5


def test_registered_and_opened_facts_agree(facts: ImageFacts) -> None:
    registered = DIGITS
    assert (registered.shape_HWC, registered.num_classes, registered.num_images) == (
        facts.shape_HWC,
        facts.num_classes,
        facts.num_images,
    )
    assert len(facts.fingerprint) == 64


def test_a_card_fuses_whole_replicates() -> None:
    trials = plan(arms=[{"initializer": ["he_normal", "orthogonal", "glorot_normal"]}], replicates=30)
    parts = group_trials(trials, FACTS, limits_of(Device("cuda", (0,), "Big", 2**37)))
    assert {trial for part in parts for trial in part.trials} == set(trials)
    assert max(len(part.trials) for part in parts) <= MOST_ON_A_CARD
    seeds = [{trial.seed for trial in part.trials} for part in parts]
    assert sum(map(len, seeds)) == 30  # none is torn
    assert all(len(part.trials) == 3 * len(own) for part, own in zip(parts, seeds, strict=True))


def test_a_card_is_planned_to_hold_its_cohorts() -> None:
    trials = plan(arms=[{"initializer": ["he_normal", "orthogonal"]}], replicates=20, recipe={"network": "vgg11"})
    sizes = {}
    for gibibytes in (4, 16, 4096):
        parts = group_trials(trials, FACTS, limits_of(Device("cuda", (0,), "a card", gibibytes * 2**30)))
        sizes[gibibytes] = max(len(part.trials) for part in parts)
        member = parts[0].cost.num_bytes
        assert sizes[gibibytes] == 1 or sizes[gibibytes] * member < gibibytes * 2**30
    assert sizes[4] < sizes[16] <= sizes[4096] <= MOST_ON_A_CARD


def test_large_networks_fill_a_card_with_few() -> None:
    gpu = limits_of(Device("cuda", (0,), "Big", 2**37))
    counts = {}
    for network in ("lenet", "modnet2"):
        trials = plan(
            arms=[{"initializer": ["he_normal"]}], replicates=64, recipe={"network": network}, data={"name": "cifar10"}
        )
        counts[network] = max(len(part.trials) for part in group_trials(trials, FACTS, gpu))
    assert counts["lenet"] == MOST_ON_A_CARD
    assert counts["modnet2"] < counts["lenet"]


def test_folds_are_not_fused_across_replicates() -> None:
    trials = plan(arms=[{"initializer": ["he_normal"]}], data={"folds": 3}, replicates=2)
    assert len(group_trials(trials, FACTS, limits_of(Device("cuda", (0,), "Big", 2**37)))) == 6


def test_candidates_of_one_group_with_equal_shapes_train_as_one_cohort() -> None:
    space = {"optimizer.learning_rate": [0.1, 0.2, 0.3], "network.units.0": [8, 16]}
    study = Study(
        question="Which?",
        recipe={"network": MLP},
        search={"name": "optuna", "sampler": "grid", "trials": 6, "group": 6, "replicates": 2, "space": space},
        replicates=2,
    )
    asked = Searching(expand(study), FACTS).ask()
    assert len(asked) == 12
    for device, expected in ((Device(), [3, 3, 3, 3]), (Device("cuda", (0,), "Big", 2**37), [6, 6])):
        found = group_trials(asked, FACTS, limits_of(device))
        assert sorted(len(each.trials) for each in found) == expected
        assert all(len({trial.recipe.network for trial in each.trials}) == 1 for each in found)
