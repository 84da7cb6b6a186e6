"""Features of frozen bodies: computed once, kept whole, the same as going through the body every time."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.features import FEATURE_BATCH, compute_features, compute_key, describe_code, open_features
from bakeoff.errors import DataError
from bakeoff.messages import CohortTask
from bakeoff.workspace import Folders


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


class Doubling:
    """A body whose features are the first five pixels, doubled; counts how often it is asked."""

    def __init__(self, images: Images, fail_after: int | None = None) -> None:
        self.images, self.fail_after, self.num_passes = images, fail_after, 0

    def evaluate(self, indices: npt.NDArray[np.int64], batch_size: int) -> Iterator[Tensor]:
        self.num_passes += 1
        for number, start in enumerate(range(0, len(indices), batch_size)):
            if number == self.fail_after:
                raise KeyboardInterrupt
            pixels = self.images.pixels[indices[start : start + batch_size]].reshape(-1, 9 * 8 * 2)
            yield torch.from_numpy(pixels[:, :5]).float().mul(2)[:, :, None, None]


def expect(images: Images) -> npt.NDArray[np.float32]:
    return images.pixels.reshape(200, -1)[:, :5].astype(np.float32) * 2


def test_features_stand_in_for_the_images(images: Images) -> None:
    assert len(images.labels) > FEATURE_BATCH
    features = open_features("body", images, Doubling(images), "float32").images
    assert features.pixels.shape == (200, 1, 1, 5)
    assert features.pixels.dtype == np.float32
    np.testing.assert_array_equal(features.pixels.reshape(200, 5), expect(images))
    assert features.labels is images.labels
    assert features.shape_HWC == (1, 1, 5)
    assert not features.pixels.flags.writeable


def test_they_are_computed_once(images: Images, cache: Path) -> None:
    first, second = Doubling(images), Doubling(images)
    open_features("body", images, first, "float32")
    open_features("body", images, second, "float32")
    assert (first.num_passes, second.num_passes) == (1, 0)
    assert len(list(cache.glob("*.npy"))) == 1


def test_what_they_took_is_kept_with_them(images: Images) -> None:
    first, second = (open_features("body", images, Doubling(images), "float32") for _ in range(2))
    assert first.seconds == second.seconds > 0
    assert first.key == second.key != open_features("other", images, Doubling(images), "float32").key


def test_versions_and_the_users_code_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    Path("featnet.py").write_text("from featblocks import Net\n")
    Path("featblocks.py").write_text("class Net: pass\n")
    described = [json.loads(describe_code(name)) for name in ("lenet", "torchvision:resnet18", "featnet:Net")]
    assert [sorted(each) for each in described] == [
        ["bakeoff", "engine", "torch"],
        ["bakeoff", "engine", "timm", "torch", "torchvision"],
        ["bakeoff", "code", "engine", "timm", "torch", "torchvision"],
    ]
    for name in ("featnet", "featblocks"):
        monkeypatch.delitem(sys.modules, name)
    Path("featblocks.py").write_text("class Net: zeros = True\n")
    assert json.loads(describe_code("featnet:Net"))["code"] != described[2]["code"]


def test_a_changed_forward_gives_changed_features(
    images: Images, make_task: Callable[..., CohortTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    # Python knows a changed module by its size and the second of its change; here both may be the same.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    code = "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(144, 3)\n"
    code += "    def forward(self, x): return super().forward(x.flatten(1)) * {factor}\n"
    Path("usr_frozen.py").write_text(code.format(factor=1))
    save_file({"weight": torch.rand(3, 144), "bias": torch.zeros(3)}, "weights.safetensors")
    transfer = {"weights": {"file": "weights.safetensors"}, "freeze": "always"}
    task = make_task({"a": Recipe.model_validate({"network": "usr_frozen:Net", "transfer": transfer})})
    before = Assembly.make(task, images, Folders(tmp_path), "float32")
    Path("usr_frozen.py").write_text(code.format(factor=0))
    monkeypatch.delitem(sys.modules, "usr_frozen")
    after = Assembly.make(task, images, Folders(tmp_path), "float32")
    assert before.images.pixels.any()
    assert not after.images.pixels.any()


def test_all_that_determines_them_is_in_the_key() -> None:
    facts: dict[str, Any] = {
        "body": "b",
        "fingerprint": "f",
        "numeric": "float32",
        "training_fingerprint": "f",
        "code": "c",
    }
    keys = {compute_key(**facts)} | {compute_key(**{**facts, name: "other"}) for name in facts}
    assert len(keys) == 6
    assert compute_key(**facts) == compute_key(**facts)


def test_an_interruption_leaves_nothing_half_done(images: Images, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_features("body", images, Doubling(images, fail_after=1), "float32")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    np.testing.assert_array_equal(
        open_features("body", images, Doubling(images), "float32").images.pixels.reshape(200, 5), expect(images)
    )


@pytest.mark.parametrize("damage", ["empty", "half", "other", "no time"])
def test_a_damaged_file_is_computed_again(images: Images, cache: Path, damage: str) -> None:
    open_features("body", images, Doubling(images), "float32")
    (path,) = cache.glob("*.npy")
    whole = path.read_bytes()
    if damage == "no time":
        path.with_suffix(".json").unlink()
    elif damage == "other":
        np.save(path, np.zeros((3, 1, 1, 5), np.float32))
    else:
        path.write_bytes(whole[: len(whole) // 2 if damage == "half" else 0])
    leftover = path.with_name(f"{path.name}.part-killed")
    leftover.mkdir()
    again = open_features("body", images, Doubling(images), "float32").images
    np.testing.assert_array_equal(again.pixels.reshape(200, 5), expect(images))
    assert not leftover.exists()


def test_two_that_want_the_same_compute_it_once(images: Images) -> None:
    bodies = [Doubling(images), Doubling(images)]
    threads = [threading.Thread(target=open_features, args=("body", images, body, "float32")) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(body.num_passes for body in bodies) == 1


def test_a_cache_that_cannot_be_written_is_one_line(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="BAKEOFF_CACHE") as caught:
        open_features("body", images, Doubling(images), "float32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_batches", [0, 1, 3])
def test_a_wrong_number_of_images_is_refused(tmp_path: Path, num_batches: int) -> None:
    batches = [torch.zeros(5, 2)] * num_batches
    with pytest.raises(ValueError, match=f"features of {5 * num_batches} images, needed 10"):
        compute_features(batches, tmp_path / "a.npy", 10)


def test_bfloat16_features_are_stored_exactly(tmp_path: Path) -> None:
    values = torch.rand(4, 3).bfloat16()
    compute_features([values], tmp_path / "a.npy", 4)
    assert torch.equal(torch.from_numpy(np.load(tmp_path / "a.npy"))[:, 0, 0], values.float())
