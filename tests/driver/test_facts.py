"""What is known of images: of registered ones before they are opened, of folders afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.source import DataSource
from bakeoff.driver.facts import ImageFacts, describe_datasets, open_datasets
from bakeoff.driver.identity import identify
from bakeoff.driver.run import check_plan
from bakeoff.errors import DataError, NetworkError
from bakeoff.study.plan import Plan

MakePlan = Callable[..., Plan]


def write_images(folder: Path, splits: dict[str, int]) -> str:
    """Write grey 6x6 images of two classes, so many of each in each split."""
    rng = np.random.default_rng(0)
    for split, number in splits.items():
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                pixels = rng.integers(0, 256, (6, 6), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")
    return str(folder)


@pytest.fixture
def photos(tmp_path: Path) -> str:
    return write_images(tmp_path / "photos", {"train": 6, "val": 2, "test": 2})


def test_of_a_folder_nothing_is_known_before_it_is_opened(make_plan: MakePlan, photos: str) -> None:
    plan = make_plan(blocks=[{"data.folder": [photos]}, {"epochs": [1, 2]}])
    source = DataSource(folder=photos)
    assert describe_datasets(plan.blocks, None) == {}
    (facts,) = open_datasets(plan.blocks, None).values()
    assert (facts.shape_HWC, facts.class_names, facts.num_images) == ((6, 6, 1), ("cat", "dog"), 16)
    assert facts.num_own_validation == 4
    # Once it is decoded, a plan can count it.
    assert describe_datasets(plan.blocks, None)[source].num_images == 16


def test_a_class_too_small_is_found_before_training(make_plan: MakePlan, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", {"train": 6, "test": 2})
    for index in range(1, 6):
        (tmp_path / "pets/train/dog" / f"{index}.png").unlink()
    with pytest.raises(DataError, match=r"^pets: .*'dog' \(1\)"):
        open_datasets(make_plan(data={"folder": folder}).blocks, None)
    with pytest.raises(DataError, match=r"^pets: .*'dog' \(1\).* 3 folds"):
        open_datasets(make_plan(data={"folder": folder, "folds": 3}).blocks, None)


def test_facts_survive_the_ledger(make_plan: MakePlan, photos: str) -> None:
    plan = make_plan(data={"folder": photos})
    (facts,) = open_datasets(plan.blocks, None).values()
    assert ImageFacts.of_record(facts.record()) == facts


def test_own_validation_needs_images_for_it(make_plan: MakePlan, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "bare", {"train": 6, "test": 2})
    plan = make_plan(data={"folder": folder, "validation": "own"})
    with pytest.raises(DataError, match=r"^bare .*validation") as caught:
        open_datasets(plan.blocks, None)
    assert "data.validation" in str(caught.value)


def test_own_validation_images_are_not_trained_on(make_plan: MakePlan, photos: str) -> None:
    counts = []
    for data in ({"validation": "own"}, {"validation": 0.5}, {"folds": 4}):
        plan = make_plan(data={"folder": photos, **data})
        (facts,) = open_datasets(plan.blocks, None).values()
        counts.append(facts.count_train(plan.trials[0]))
    assert counts == [12, 8, 11]  # of 12 outside the held-out fold, 1 is kept for validation


def test_which_images_validate_is_part_of_a_trials_identity(make_plan: MakePlan, photos: str) -> None:
    facts = next(iter(open_datasets(make_plan(data={"folder": photos}).blocks, None).values()))
    others = ImageFacts(**{**vars(facts), "own_validation": "0" * 64})
    source = DataSource(folder=photos)
    for validation, differ in (("own", True), (0.25, False)):
        (trial,) = make_plan(1, data={"folder": photos, "validation": validation}).trials
        ids = {identify(trial, {source: each}, "float32").trial_id for each in (facts, others)}
        assert (len(ids) == 2) is differ


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"network": {"name": "cnn", "kernel": 9, "padding": "valid"}}, "network: cnn on 6x6x1 images"),
        ({"augmentation": [{"name": "center_crop", "size": 7}]}, r"augmentation step 1 \(center_crop\) on 6x6x1"),
        ({"class_weights": {"cat": 2.0, "cow": 1.0}}, "class_weights: .*cow"),
    ],
)
def test_what_does_not_fit_a_folder_is_said_before_anything_trains(
    make_plan: MakePlan, photos: str, recipe: dict[str, Any], message: str
) -> None:
    plan = make_plan(data={"folder": photos}, recipe=recipe)
    check_plan(plan, {})
    with pytest.raises(NetworkError, match=f"^block 'photos', arm '0.001': .*{message}"):
        check_plan(plan, open_datasets(plan.blocks, None))


def test_with_a_crop_margin_every_arm_crops_to_the_same_size(make_plan: MakePlan, photos: str) -> None:
    data = {"folder": photos, "image_size": 12, "crop_margin": 1.25}
    for name in ("random_resized_crop", "random_crop", "center_crop"):
        plan = make_plan(data=data, recipe={"augmentation": [{"name": name, "size": 12}]})
        datasets = open_datasets(plan.blocks, None)
        check_plan(plan, datasets)
        assert {facts.shape_HWC[:2] for facts in datasets.values()} == {(15, 15)}
    for steps in ([], ["horizontal_flip"], [{"name": "center_crop", "size": 14}]):
        plan = make_plan(data=data, recipe={"augmentation": steps})
        with pytest.raises(
            NetworkError, match=r"augmentation: .*12x12 \(image_size\).* at 1[45]x1[45]: add random_res"
        ):
            check_plan(plan, datasets)


def test_a_network_of_the_users_own_is_known_by_its_code(
    make_plan: MakePlan, facts: ImageFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (trial,) = make_plan(1, recipe={"network": "mynets:Tiny"}).trials
    source = DataSource(name="digits")
    ids = []
    for code in ("a = 1\n", "a = 2\n", "a = 1\n"):
        Path("mynets.py").write_text(code)
        ids.append(identify(trial, {source: facts}, "float32").trial_id)
    assert ids[0] == ids[2] != ids[1]
