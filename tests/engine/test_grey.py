"""Grey images on a colour body, normalized by ImageNet's statistics: what torchvision's own pipeline gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.messages import CohortTask, Event, TrialDone
from bakeoff.workspace import Folders

MakeTask = Callable[..., CohortTask]

MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = {"name": "normalize", "mean": "imagenet", "sd": "imagenet"}
SOURCE = """
from torch import nn
class Colour(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 3))
class Grey(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 2, 3))
"""


@pytest.fixture(autouse=True)
def _own_networks(write_module: Callable[[str, str], None]) -> None:
    write_module("grey_nets", SOURCE)


@pytest.fixture
def grey() -> Images:
    """Black, white, and noise between."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 1), dtype=np.uint8)
    pixels[0], pixels[1] = 0, 255
    labels = np.arange(40) % 4
    pixels.flags.writeable = labels.flags.writeable = False
    return Images(pixels=pixels, labels=labels, class_names=tuple("abcd"), fingerprint="grey")


def _see(
    name: Any, steps: list[Any], images: Images, make_task: MakeTask, folder: Path, context: DeviceContext = CPU
) -> Tensor:
    """Return the images as evaluation shows them to a network."""
    recipe = Recipe.model_validate({"network": name, "augmentation": steps})
    assembly = Assembly.make(make_task({"a": recipe}), images, Folders(folder), "float32", context=context)
    indices = np.arange(len(images.labels))
    if context.prepared:
        return torch.cat(list(assembly.prepare_inputs([recipe], [0], [0]).evaluate(indices, 16)))
    return torch.cat(list(assembly.make_inputs([recipe], 0).evaluate(indices, 16)))


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18", "grey_nets:Colour"])
def test_a_colour_body_sees_what_torchvisions_pipeline_gives(
    name: str, context: DeviceContext, grey: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    found = _see(name, [IMAGENET], grey, make_task, tmp_path, context)
    repeated = torch.from_numpy(grey.pixels.copy()).permute(0, 3, 1, 2).repeat(1, 3, 1, 1) / 255
    expected = torch.stack([(repeated[:, c] - MEAN[c]) / SD[c] for c in range(3)], dim=1)
    torch.testing.assert_close(found, expected)
    assert found[0, :, 0, 0].tolist() == pytest.approx([-2.118, -2.036, -1.804], abs=5e-4)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "grey_nets:Colour"])
def test_three_numbers_are_for_red_green_and_blue(
    name: str, context: DeviceContext, grey: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    given = {"name": "normalize", "mean": MEAN, "sd": SD}
    found = _see(name, [given, "horizontal_flip"], grey, make_task, tmp_path, context)
    torch.testing.assert_close(found, _see(name, [IMAGENET, "horizontal_flip"], grey, make_task, tmp_path, context))
    assert found.shape[1] == 3


@pytest.mark.parametrize("name", ["grey_nets:Grey", "lenet"])
def test_a_network_for_grey_images_sees_one_channel(
    name: str, grey: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    found = _see(name, [{"name": "pad", "amount": 8}, IMAGENET], grey, make_task, tmp_path)
    assert found.shape == (40, 1, 22, 21)
    assert found[0, 0, 0, 0].item() == pytest.approx(-np.mean(MEAN) / np.mean(SD))


@pytest.mark.parametrize("steps", [[], [{"name": "normalize", "mean": "data", "sd": "data"}]])
def test_other_statistics_are_the_same_in_every_channel(
    steps: list[Any], grey: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    assert _see("torchvision:resnet18", steps, grey, make_task, tmp_path).shape == (40, 1, 6, 5)


def test_what_comes_after_sees_three_channels(grey: Images, make_task: MakeTask, tmp_path: Path) -> None:
    steps = [IMAGENET, {"name": "erasing", "probability": 1.0 - 1e-9}]
    recipe = Recipe.model_validate({"network": "torchvision:resnet18", "augmentation": steps})
    assembly = Assembly.make(make_task({"a": recipe}), grey, Folders(tmp_path), "float32")
    (batch,) = assembly.make_inputs([recipe], 0).train(np.arange(40), 40, 1)
    erased = (batch.inputs == 0).all(1)
    assert erased.flatten(1).any(1).all(), "a rectangle of zeros in every image, in all channels"


def test_a_trained_colour_body_takes_them(grey: Images, make_task: MakeTask, tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"network": "grey_nets:Colour", "augmentation": [IMAGENET], "epochs": 1})
    events: list[Event] = []
    train_cohort(make_task({"a": recipe}), grey, tmp_path, events.append)
    assert any(isinstance(event, TrialDone) for event in events)
