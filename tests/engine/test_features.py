"""Features of frozen bodies: computed in parts, kept whole, the same as going through the body every time."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images
from bakeoff.engine import feature_files
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.augment.apply import Augmenter
from bakeoff.engine.batches import split_view
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.engine.feature_files import (
    FEATURE_BATCH,
    describe_code,
    join_parts,
    list_feature_files,
    list_missing_parts,
    load_features,
    save_part,
)
from bakeoff.engine.feature_task import compute_features
from bakeoff.engine.features import open_features
from bakeoff.errors import DataError, StorageError
from bakeoff.messages import CohortTask, FeatureFile, FeaturesTask, FinalTestTask, Member, TaskDone
from bakeoff.workspace import Folders

NETWORK = """\
from torch import nn
class Net(nn.Linear):
    def __init__(self): super().__init__(144, 3)
    def forward(self, x): return super().forward(x.flatten(1)) * {factor}
"""
FLIP = {"name": "horizontal_flip", "probability": 0.5}
Make = Callable[..., CohortTask]


@pytest.fixture
def weights(tmp_path: Path, write_module: Callable[[str, str], None]) -> torch.Tensor:
    """Write a network of the user's, a matrix without bias, and its weights; return these."""
    write_module("usr_frozen", NETWORK.format(factor=1))
    weight = torch.rand(3, 144, generator=torch.Generator().manual_seed(3))
    save_file({"weight": weight, "bias": torch.zeros(3)}, tmp_path / "weights.safetensors")
    return weight


def recipe(**fields: Any) -> Recipe:
    transfer = {"weights": {"file": "weights.safetensors"}, "freeze": "always", **fields.pop("transfer", {})}
    return Recipe.model_validate({"network": "usr_frozen:Net", "transfer": transfer, **fields})


def part_tasks(task: CohortTask, images: Images) -> list[FeaturesTask]:
    return [
        FeaturesTask(label="", members=task.members, data=task.data, numeric="float32", file=file, start=start)
        for file in list_feature_files(task, images, "cpu")
        for start in file.starts
    ]


@dataclass
class Opener:
    images: Images

    def training(self, source: DataSource) -> Images:
        return self.images

    def test(self, source: DataSource) -> Images:
        raise AssertionError("the test split was opened")


@pytest.fixture
def file() -> FeatureFile:
    return FeatureFile(key="ab" * 12, split="train", draw=0, num_rows=200, part_rows=64)


def fill(folders: Folders, file: FeatureFile, starts: Sequence[int] | None = None) -> npt.NDArray[np.float32]:
    """Save parts, by default all; return all rows."""
    rows = np.random.default_rng(1).standard_normal((file.num_rows, 5)).astype(np.float32)
    for start in file.starts if starts is None else starts:
        save_part(folders, file, start, rows[start : start + file.part_rows], seconds=0.5)
    return rows


def test_parts_are_joined_into_one_file_that_replaces_them(file: FeatureFile, folders: Folders) -> None:
    rows = fill(folders, file)
    assert load_features(folders, file) is None
    assert join_parts(folders, file)
    found = load_features(folders, file)
    assert found is not None
    assert found[0].shape == (200, 1, 1, 5)
    assert not found[0].flags.writeable
    np.testing.assert_array_equal(found[0][:, 0, 0], rows)
    assert found[1] == 4 * 0.5
    assert sorted(path.name for path in (folders.features / file.key).iterdir()) == ["features.json", "features.npy"]


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "one bit", "other"])
def test_a_damaged_part_is_missing_and_nothing_is_joined(file: FeatureFile, folders: Folders, damage: str) -> None:
    fill(folders, file)
    path = folders.feature_part(file.key, 64)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "one bit":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    elif damage == "other":
        np.savez(path, features=np.zeros((3, 5), np.float32), seconds=1.0)
    else:
        path.write_bytes(whole[: len(whole) // 2 if damage == "half" else 0])
    assert list_missing_parts(folders, file) == [64]
    assert not join_parts(folders, file)
    assert load_features(folders, file) is None
    assert list_missing_parts(folders, file) == [64]


@pytest.mark.parametrize("num_rows", [0, 63, 65])
def test_a_wrong_number_of_images_is_refused(file: FeatureFile, folders: Folders, num_rows: int) -> None:
    with pytest.raises(ValueError, match=f"features of {num_rows} images, needed 64"):
        save_part(folders, file, 64, np.zeros((num_rows, 2), np.float32), seconds=1.0)


def test_features_stand_in_for_the_images_and_missing_parts_alone_are_computed(
    images: Images, file: FeatureFile, folders: Folders
) -> None:
    rows = fill(folders, file, [0, 128])
    computed = []

    def compute(file: FeatureFile, start: int) -> None:
        computed.append(start)
        save_part(folders, file, start, rows[start : start + file.part_rows], seconds=0.5)

    first, second = (open_features([file], images, np.empty(0, int), folders, compute) for _ in range(2))
    assert computed == [64, 192]
    assert first.images.labels is images.labels
    assert first.images.shape_HWC == (1, 1, 5)
    assert (first.key, first.seconds, first.draws) == (second.key, second.seconds, None) == (file.key, 2.0, None)
    np.testing.assert_array_equal(second.images.pixels[:, 0, 0], rows)


@pytest.mark.parametrize("damage", ["empty", "half", "other", "one byte", "an archive", "no time", "endless"])
def test_a_damaged_file_is_computed_again(images: Images, file: FeatureFile, folders: Folders, damage: str) -> None:
    rows = fill(folders, file)
    join_parts(folders, file)
    path = folders.feature_rows(file.key)
    whole = path.read_bytes()
    if damage == "no time":
        folders.feature_facts(file.key).unlink()
    elif damage == "endless":
        folders.feature_facts(file.key).write_text('{"seconds": Infinity}')
    elif damage == "one byte":
        path.write_bytes(whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
    elif damage == "an archive":
        np.savez(path.with_suffix(".npz"), rows=rows)
        path.with_suffix(".npz").rename(path)
    elif damage == "other":
        np.save(path, np.zeros((3, 1, 1, 5), np.float32))
    else:
        path.write_bytes(whole[: len(whole) // 2 if damage == "half" else 0])
    again = open_features([file], images, np.empty(0, int), folders, lambda file, start: fill(folders, file, [start]))
    np.testing.assert_array_equal(again.images.pixels[:, 0, 0], rows)


def test_files_without_a_checksum_are_still_read(file: FeatureFile, folders: Folders) -> None:
    """Earlier versions wrote none."""
    rows = fill(folders, file)
    join_parts(folders, file)
    folders.feature_facts(file.key).write_text('{"seconds": 1.5, "images": 200}')
    stored = load_features(folders, file)
    assert stored is not None
    np.testing.assert_array_equal(stored[0][:, 0, 0], rows)
    assert stored[1] == 1.5


def test_two_that_want_the_same_compute_it_once(images: Images, file: FeatureFile, folders: Folders) -> None:
    computed: list[int] = []

    def compute(file: FeatureFile, start: int) -> None:
        computed.append(start)
        fill(folders, file, [start])

    arguments = ([file], images, np.empty(0, int), folders, compute)
    threads = [threading.Thread(target=open_features, args=arguments) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed == list(file.starts)


def test_a_workspace_that_cannot_be_written_is_one_line(images: Images, file: FeatureFile, folders: Folders) -> None:
    folders.root.mkdir(exist_ok=True)
    folders.features.touch()
    with pytest.raises(StorageError, match="features") as caught:
        open_features([file], images, np.empty(0, int), folders, lambda file, start: None)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("numeric", ["float32", "bfloat16"])
def test_parts_in_any_order_are_what_one_worker_computes_alone(
    images: Images,
    make_task: Make,
    context: DeviceContext,
    tmp_path: Path,
    numeric: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feature_files, "PART_IMAGES", FEATURE_BATCH)
    fields = {"transfer": {"feature_draws": 2}, "augmentation": [FLIP], "epochs": 5}
    task = replace(make_task({"a": recipe(**fields)}), numeric=numeric)
    alone, divided = Folders(tmp_path / "alone"), Folders(tmp_path / "divided")
    Assembly.make(task, images, alone, numeric, context=context)
    parts = [replace(part, numeric=numeric) for part in part_tasks(task, images)]
    assert [(part.file.draw, part.start) for part in parts] == [(0, 0), (0, 128), (1, 0), (1, 128), (2, 0), (2, 128)]
    random.Random(1).shuffle(parts)
    for part in parts:
        events: list[Any] = []
        part = replace(part, file=replace(part.file, key=_find_key(task, images, part, context)))
        compute_features(part, divided.root, Opener(images), events.append, context)
        assert events == [TaskDone(task_id=part.features_id)]
    for file in list_feature_files(task, images, "cpu"):
        assert join_parts(divided, file)
        assert divided.feature_rows(file.key).read_bytes() == alone.feature_rows(file.key).read_bytes()


def _find_key(task: CohortTask, images: Images, part: FeaturesTask, context: DeviceContext) -> str:
    return list_feature_files(task, images, context.device.type)[part.file.draw].key


def test_features_are_those_of_the_body_and_of_augmented_images_in_turn(
    images: Images, weights: torch.Tensor, make_task: Make, context: DeviceContext, folders: Folders
) -> None:
    fields = {"transfer": {"feature_draws": 2}, "augmentation": [FLIP], "epochs": 5}
    task = make_task({"a": recipe(**fields)})
    assembly = Assembly.make(task, images, folders, "float32", context=context)
    train, _ = split_view(images, task.data)
    order = train[::-1].copy()
    augmenter = Augmenter(task.members[0].recipe.augmentation, task.data.seed)

    def expect(pixels_NCHW: torch.Tensor) -> torch.Tensor:
        return pixels_NCHW.flatten(1) @ weights.T

    def take(epoch: int) -> torch.Tensor:
        if context.prepared:
            batches = assembly.prepare_inputs([task.members[0].recipe], [0], [1]).train([order], 50, epoch)
        else:
            batches = assembly.make_inputs([task.members[0].recipe], 1).train(order, 50, epoch)
        return torch.cat([batch.inputs for batch in batches])[:, :, 0, 0]

    for epoch, draw in ((1, 1), (2, 2), (3, 1), (4, 2)):
        augmented = augmenter.train(images.pixels[order], order, draw)
        torch.testing.assert_close(take(epoch), expect(augmented), rtol=1e-5, atol=1e-5)
    assert not torch.equal(take(1), take(2))
    plain = torch.from_numpy(np.array(assembly.images.pixels[:, 0, 0], dtype=np.float32))
    torch.testing.assert_close(plain, expect(augmenter.evaluate(images.pixels.copy())), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("weights")
def test_nothing_is_drawn_for_a_final_test_or_without_random_steps(images: Images, make_task: Make) -> None:
    task = make_task({"a": recipe(transfer={"feature_draws": 3}, epochs=2, augmentation=[FLIP])})
    final = FinalTestTask(final_test_id="", label="", members=task.members, data=task.data, numeric="float32")
    plain = make_task({"a": recipe(transfer={"feature_draws": 3}, epochs=2)})
    running = make_task({"a": recipe(epochs=2, augmentation=[FLIP])})
    kinds = [[each.draw for each in list_feature_files(t, images, "cpu")] for t in (task, final, plain, running)]
    assert kinds == [[0, 1, 2], [0], [0], []]


@pytest.mark.usefixtures("weights")
def test_all_that_determines_them_is_in_the_key(images: Images, make_task: Make) -> None:
    def keys(fields: dict[str, Any] | None = None, **changes: Any) -> list[str]:
        task = make_task({"a": recipe(**{"augmentation": [FLIP], "transfer": {"feature_draws": 2}, **(fields or {})})})
        task = replace(task, members=(replace(task.members[0], code=changes.pop("code", "c")),))
        task = replace(task, numeric=changes.pop("numeric", "float32"))
        task = replace(task, data=replace(task.data, **changes.pop("view", {})))
        seen = replace(images, fingerprint=changes.pop("fingerprint", "f"))
        return [file.key for file in list_feature_files(task, seen, changes.pop("device", "cpu"))]

    first = keys()
    assert first == keys()
    assert len(set(first)) == 3
    other: list[dict[str, Any]] = [
        {"fields": {"augmentation": [{**FLIP, "probability": 0.4}]}},
        {"fields": {"transfer": {"feature_draws": 2, "weights": {"file": "other"}}}},
        {"code": "d"},
        {"numeric": "bfloat16"},
        {"fingerprint": "g"},
        {"device": "cuda"},
    ]
    assert all(set(first).isdisjoint(keys(**change)) for change in other)
    # Heads may differ, and more draws add to those that are there; only draws depend on the replicate.
    assert keys({"optimizer": "sgd", "batch_size": 7}) == first
    assert keys({"transfer": {"feature_draws": 4}})[:3] == first
    seeds = keys(view={"seed": 5})
    assert seeds[0] == first[0]
    assert set(seeds[1:]).isdisjoint(first)
    # With statistics of the training images, these depend on the held-out fold.
    fold, measured = {"folds": 4, "fold": 1}, {"augmentation": ["normalize"]}
    assert keys({"augmentation": []}, view=fold) == keys({"augmentation": []})
    assert keys(measured, view=fold) != keys(measured)


def test_versions_and_the_users_code_are_in_the_key(write_module: Callable[[str, str], None]) -> None:
    write_module("featnet", "from featblocks import Net\n")
    write_module("featblocks", "class Net: pass\n")

    def describe(name: str) -> dict[str, str]:
        return describe_code(Member(trial_id="", recipe=Recipe.model_validate({"network": name})))

    described = [describe(name) for name in ("lenet", "torchvision:resnet18", "featnet:Net")]
    assert [sorted(each) for each in described] == [
        ["bakeoff", "engine", "torch"],
        ["bakeoff", "engine", "timm", "torch", "torchvision"],
        ["bakeoff", "code", "engine", "timm", "torch", "torchvision"],
    ]
    write_module("featblocks", "class Net: zeros = True\n")
    assert describe("featnet:Net")["code"] != described[2]["code"]


@pytest.mark.usefixtures("weights")
def test_a_changed_forward_gives_changed_features(
    images: Images, make_task: Make, folders: Folders, write_module: Callable[[str, str], None]
) -> None:
    task = make_task({"a": recipe()})
    before = Assembly.make(task, images, folders, "float32")
    write_module("usr_frozen", NETWORK.format(factor=0))
    sys.modules.pop("usr_frozen")
    after = Assembly.make(task, images, folders, "float32")
    assert before.images.pixels.any()
    assert not after.images.pixels.any()


@pytest.mark.usefixtures("weights")
def test_a_worker_with_other_images_refuses(images: Images, make_task: Make, folders: Folders) -> None:
    (part,) = part_tasks(make_task({"a": recipe()}), images)
    other = Opener(replace(images, fingerprint="other"))
    with pytest.raises(DataError, match="changed"):
        compute_features(part, folders.root, other, lambda event: None, CPU)
    assert not folders.feature_part(part.file.key, 0).exists()


@pytest.mark.usefixtures("weights")
def test_what_they_took_is_the_sum_of_the_parts(images: Images, make_task: Make, folders: Folders) -> None:
    features = Assembly.make(make_task({"a": recipe()}), images, folders, "float32").features
    assert features is not None
    kept = json.loads(folders.feature_facts(features.key).read_text())
    assert features.seconds == kept["seconds"] > 0
