"""The final test reads the test split, and nothing that trains can."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bakeoff.catalog.augmentation.steps import Normalize
from bakeoff.catalog.networks.layers import Conv, Dense, Dropout, Pool, Whiten
from bakeoff.catalog.networks.named import Layers, expand
from bakeoff.catalog.optimizers import Adam
from bakeoff.catalog.recipe import EarlyStopping, Recipe
from bakeoff.data import digits, store
from bakeoff.data.opener import DiskOpener
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, open_test, open_training
from bakeoff.engine import final_test, probe
from bakeoff.engine.batches import held_out, split_view
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.final_test import run_final_test
from bakeoff.engine.fused.build import FusedNetwork
from bakeoff.errors import DataError
from bakeoff.messages import CohortTask, DataView, FinalTestDone, FinalTestTask, Member, ProbeTask, TaskDone, TrialDone
from bakeoff.stats.metrics import classification_metrics
from bakeoff.workspace import Folders, load_predictions

NETWORK = Layers(
    layers=(Conv(filters=8, kernel=3, activation="relu"), Pool(), Dropout(rate=0.2), Dense(units=32, activation="tanh"))
)
RECIPES = {
    "a": Recipe(network=NETWORK, optimizer=Adam(learning_rate=0.01), epochs=3),
    "b": Recipe(
        network=NETWORK, optimizer=Adam(learning_rate=0.003), epochs=4, early_stopping=EarlyStopping(patience=1)
    ),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(cache))


def _view(images: Images) -> DataView:
    return DataView(source=DataSource(name="digits"), validation=0.2, fingerprint=images.fingerprint, seed=7)


def _train(workspace: Path) -> list[Any]:
    images = open_training("digits")
    members = tuple(Member(trial_id=name, recipe=recipe) for name, recipe in RECIPES.items())
    task = CohortTask(cohort_id="c", label="digits", members=members, data=_view(images), numeric="float32")
    events: list[Any] = []
    train_cohort(task, images, workspace, events.append)
    return events


def _examine(workspace: Path, names: str = "ab") -> list[Any]:
    members = tuple(Member(trial_id=name, recipe=RECIPES[name]) for name in names)
    task = FinalTestTask(
        final_test_id="e", label="digits", members=members, data=_view(open_training("digits")), numeric="float32"
    )
    events: list[Any] = []
    run_final_test(task, workspace, DiskOpener(None), events.append)
    return events


def test_the_exam_scores_the_kept_weights_on_the_test_split(tmp_path: Path) -> None:
    _train(tmp_path)
    events = _examine(tmp_path)
    test = open_test("digits")
    folders = Folders(tmp_path)
    assert events[-1] == TaskDone(task_id="e")
    assert [(event.trial_id, event.fingerprint) for event in events[:-1]] == [
        ("a", test.fingerprint),
        ("b", test.fingerprint),
    ]
    layers = expand(NETWORK, test.shape_HWC, 10)
    inputs = torch.from_numpy(np.array(test.pixels)).permute(0, 3, 1, 2) / 255
    for event in events[:-1]:
        assert isinstance(event, FinalTestDone)
        network = FusedNetwork([layers], [load_file(folders.weights(event.trial_id))])
        with torch.no_grad():
            expected = network(inputs, network.cast())[0].softmax(dim=1).numpy()
        found = load_predictions(folders.predictions(event.trial_id, "test"))
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
        assert np.array_equal(found["labels"], test.labels)
        assert np.array_equal(found["indices"], np.arange(len(test.labels)))
        assert event.metrics == classification_metrics(found["probabilities"], test.labels)
        assert event.metrics["accuracy"] > 0.7


def test_an_exam_held_again_gives_the_same_numbers(tmp_path: Path) -> None:
    _train(tmp_path)
    assert _examine(tmp_path) == _examine(tmp_path)
    both, alone = _examine(tmp_path), _examine(tmp_path, "b")
    assert alone[0].metrics == pytest.approx(both[1].metrics, rel=1e-5)


FOLD_RECIPES = {
    "normalised": Recipe(
        network=NETWORK,
        optimizer=Adam(learning_rate=0.01),
        epochs=2,
        early_stopping=EarlyStopping(patience=1),
        augmentation=(Normalize(mean="data", sd="data"),),
    ),
    "whitened": Recipe(
        network=Layers(layers=(Whiten(kernel=2), Conv(filters=4, kernel=3, activation="relu"), Dense(units=8))),
        epochs=1,
    ),
}
"""They take more of the training images than those they train on: mean and sd, patches."""


def _view_fold(images: Images) -> DataView:
    return replace(_view(images), folds=4, fold=2)


def _train_fold(workspace: Path, images: Images) -> list[Any]:
    events: list[Any] = []
    for name, recipe in FOLD_RECIPES.items():
        member = Member(trial_id=name, recipe=recipe)
        task = CohortTask(cohort_id=name, label="digits", members=(member,), data=_view_fold(images), numeric="float32")
        train_cohort(task, images, workspace, events.append)
    return [replace(event, seconds=0.0) for event in events if isinstance(event, TrialDone)]


def test_no_image_of_the_held_out_fold_reaches_training_or_selection(tmp_path: Path) -> None:
    images = open_training("digits")
    locked = held_out(images, _view_fold(images))
    assert locked is not None
    assert len(locked) == pytest.approx(len(images.labels) / 4, abs=1)
    pixels = np.array(images.pixels)
    pixels[locked] = np.random.default_rng(0).integers(0, 256, pixels[locked].shape)
    # Other pixels and another fingerprint; labels stay, for they draw the folds.
    other = replace(images, pixels=pixels, fingerprint="other")
    assert _train_fold(tmp_path / "a", images) == _train_fold(tmp_path / "b", other)
    for name in FOLD_RECIPES:
        found, expected = (load_file(Folders(tmp_path / each).weights(name)) for each in "ba")
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_final_test_scores_a_fold_s_model_on_its_held_out_fold_and_apart_on_the_test_split(tmp_path: Path) -> None:
    images, test = open_training("digits"), open_test("digits")
    _train_fold(tmp_path, images)
    view, name = _view_fold(images), "normalised"
    member = Member(trial_id=name, recipe=FOLD_RECIPES[name])
    task = FinalTestTask(final_test_id="e", label="digits", members=(member,), data=view, numeric="float32")
    events: list[Any] = []
    run_final_test(task, tmp_path, DiskOpener(None), events.append)
    done = events[0]
    train, validation = split_view(images, view)
    locked = np.setdiff1d(np.arange(len(images.labels)), np.concatenate([train, validation]))
    kept = np.sort(np.concatenate([train, validation]))
    mean, sd = images.pixels[kept].mean() / 255, images.pixels[kept].std() / 255
    network = FusedNetwork([expand(NETWORK, test.shape_HWC, 10)], [load_file(Folders(tmp_path).weights(name))])
    for split, pixels, labels, indices in (
        ("held-out", images.pixels[locked], images.labels[locked], locked),
        ("test", test.pixels, test.labels, np.arange(len(test.labels))),
    ):
        inputs = (torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2) / 255 - mean) / sd
        with torch.no_grad():
            expected = network(inputs.float(), network.cast())[0].softmax(dim=1).numpy()
        found = load_predictions(Folders(tmp_path).predictions(name, split))
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
        assert np.array_equal(found["indices"], indices)
        metrics = done.held_out if split == "held-out" else done.metrics
        assert metrics == classification_metrics(found["probabilities"], labels)
    saved = load_predictions(Folders(tmp_path).predictions(name, "validation"))
    assert np.array_equal(saved["indices"], validation)
    changed = replace(task, data=replace(view, fingerprint="other"))
    with pytest.raises(DataError, match="images changed"):
        run_final_test(changed, tmp_path, DiskOpener(None), events.append)


def _lock_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every way to the test images raise, from the public one down to the decoder."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the test split was reached for")

    monkeypatch.setattr(store, "open_test", refuse)

    def guard(module: Any, name: str) -> None:
        real = getattr(module, name)
        signature = inspect.signature(real)

        def guarded(*arguments: Any, **named: Any) -> Any:
            if signature.bind(*arguments, **named).arguments["split"] != "train":
                refuse()
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, guarded)

    guard(store, "_open_split")
    guard(store, "find_split")
    guard(store, "decode_split")
    guard(digits, "read_digits")


def test_training_and_probing_never_reach_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _train(tmp_path / "open")
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "fresh cache"))
    _lock_test_split(monkeypatch)
    events = _train(tmp_path / "locked")
    assert [event.metrics for event in events if hasattr(event, "metrics")] == [
        event.metrics for event in expected if hasattr(event, "metrics")
    ]
    images = open_training("digits")
    members = tuple(Member(trial_id=name, recipe=recipe) for name, recipe in RECIPES.items())
    probed: list[Any] = []
    task = ProbeTask(probe_id="p", label="", members=members, data=_view(images))
    probe.probe_numeric(task, images, tmp_path, probed.append)
    assert probed
    decoded = [path.name for path in (tmp_path / "fresh cache" / "decoded").iterdir() if path.is_dir()]
    assert decoded
    assert all("-train-" in name for name in decoded)
    with pytest.raises(AssertionError, match="reached for"):
        _examine(tmp_path / "locked")


def test_only_the_exam_names_the_test_split() -> None:
    files = list(Path(final_test.__file__).parent.rglob("*.py"))
    assert [path.name for path in files if "opener.test" in path.read_text(encoding="utf-8")] == ["final_test.py"]
    assert not [path.name for path in files if "open_test" in path.read_text(encoding="utf-8")]
