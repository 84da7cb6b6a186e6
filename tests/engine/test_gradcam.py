"""Heat maps against closed forms and plain autograd, on networks of all kinds; pictures land where the pixels were."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.model_record import ModelRecord
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import all_layers
from bakeoff.engine.export import standalone
from bakeoff.engine.export.lower import lower
from bakeoff.engine.fused.build import State, initialize
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import build_body
from bakeoff.engine.gradcam import GradCam
from bakeoff.engine.model import Model
from bakeoff.workspace import Folders

POOLED = [
    {"type": "conv", "filters": 6, "kernel": 3, "padding": "same", "activation": "relu"},
    {"type": "global_pool", "kind": "average"},
]
OWN = '''
from torch import nn


class ChannelsLast(nn.Module):
    """Maps [N, h, w, C], as Swin's."""

    num_features = 5

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 2)
        self.norm = nn.LayerNorm(5)

    def forward(self, x):
        return self.norm(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2))


class Tokens(nn.Module):
    """Tokens [N, T, C], as a transformer's."""

    num_features = 5

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 4, 4)
        self.mix = nn.Linear(5, 5)

    def forward(self, x):
        return self.mix(self.conv(x).flatten(2).transpose(1, 2)).mean(1)
'''


def _make(recipe: dict[str, Any], shape_HWC: tuple[int, int, int]) -> tuple[ModelRecord, State]:
    record = ModelRecord(
        trial_id="ab12",
        recipe=Recipe.model_validate(recipe),
        class_names=("a", "b", "c"),
        shape_HWC=shape_HWC,
        numeric="float32",
        seed=1,
        engine_version=3,
    )
    height, width, channels = trace_augmentation(record.recipe.augmentation, shape_HWC)
    layers, network = all_layers(record.recipe, shape_HWC, 3), record.recipe.network
    if network.has_module:
        body = build_body(network, (height, width, channels), 1)
        return record, first_state(body, layers, record.recipe.initializer, 1)
    return record, initialize(layers, (height, width, channels), record.recipe.initializer, 1)


def _draw(shape_HWC: tuple[int, int, int], number: int = 3) -> Any:
    return np.random.default_rng(3).integers(0, 256, (number, *shape_HWC), dtype=np.uint8)


CLASSES = np.array([2, 0, 1])


def test_with_global_average_pooling_a_map_is_a_sum_weighted_by_the_head() -> None:
    record, state = _make({"network": {"layers": POOLED}}, (10, 12, 3))
    pixels = _draw((10, 12, 3))
    maps = GradCam(record, state).compute_maps(torch.from_numpy(pixels), torch.from_numpy(CLASSES))
    features = F.conv2d(
        torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, state["0.weight"], state["0.bias"], padding=1
    )
    features = features.relu()
    expected = torch.einsum("nc,nchw->nhw", state["2.weight"][torch.from_numpy(CLASSES)], features).relu() / 120
    torch.testing.assert_close(maps, expected)


def test_a_mirrored_model_has_the_mean_of_both_maps() -> None:
    record, state = _make({"network": {"layers": POOLED}}, (10, 12, 3))
    both = GradCam(
        record.model_copy(update={"recipe": record.recipe.model_copy(update={"evaluate": "mirrored"})}), state
    )
    images, classes = torch.from_numpy(_draw((10, 12, 3))), torch.from_numpy(CLASSES)
    alone = GradCam(record, state)
    expected = (alone.compute_maps(images, classes) + alone.compute_maps(images.flip(2), classes).flip(2)) / 2
    torch.testing.assert_close(both.compute_maps(images, classes), expected)


@pytest.mark.parametrize(("network", "layer"), [("timm:test_resnet", "layer4"), ("torchvision:resnet18", "layer4")])
def test_a_body_is_explained_by_its_last_maps(network: str, layer: str) -> None:
    shape = (64, 70, 3)
    record, state = _make({"network": network}, shape)
    images, classes = torch.from_numpy(_draw(shape)), torch.from_numpy(CLASSES)
    maps = GradCam(record, state).compute_maps(images, classes)
    plan = lower(record)
    plain = standalone.Network(plan)
    plain.load_state_dict(standalone.name_weights(state, plan))
    kept: list[torch.Tensor] = []
    assert plain.body is not None
    plain.eval().body.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    score = plain.compute_logits(plain.prepare(images)).gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, kept)
    expected = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu()
    torch.testing.assert_close(maps, expected.detach())


@pytest.mark.parametrize(
    ("network", "has_maps"),
    [
        ("mlp", False),
        ("lenet", True),
        ({"name": "resnet", "blocks": [1, 1], "filters": [4, 8]}, True),
        ("timm:test_vit", False),
        ("own_maps:ChannelsLast", True),
        ("own_maps:Tokens", False),
    ],
)
def test_networks_with_and_without_maps(
    network: Any, has_maps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_maps.py").write_text(OWN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_maps", raising=False)
    shape = (32, 32, 3)
    cam = GradCam(*_make({"network": network}, shape))
    assert cam.has_maps == has_maps
    if has_maps:
        maps = cam.explain(_draw(shape), CLASSES)
        assert (maps.shape, maps.dtype) == ((3, 32, 32), np.float32)
        assert set(np.unique(maps.max(axis=(1, 2)))) <= {0.0, 1.0}
        assert maps.min() >= 0


def test_channels_may_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_maps.py").write_text(OWN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_maps", raising=False)
    record, state = _make({"network": "own_maps:ChannelsLast"}, (14, 16, 3))
    images = torch.from_numpy(_draw((14, 16, 3)))
    maps = GradCam(record, state).compute_maps(images, torch.from_numpy(CLASSES))
    x = F.conv2d(images.permute(0, 3, 1, 2) / 255, state["body.conv.weight"], state["body.conv.bias"], 2)
    x = F.layer_norm(x.permute(0, 2, 3, 1), (5,), state["body.norm.weight"], state["body.norm.bias"])
    expected = torch.einsum("nc,nhwc->nhw", state["head.0.weight"][torch.from_numpy(CLASSES)], x).relu() / 42
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"name": "center_crop", "size": [20, 24]}],
        [{"name": "pad", "amount": 5}, {"name": "resize", "size": 50}],
        [{"name": "resize", "size": [21, 33]}, {"name": "center_crop", "size": 18}],
    ],
)
def test_maps_lie_over_the_image_as_it_was_before_its_preparation(steps: list[dict[str, Any]]) -> None:
    """A network that shows brightness finds a bright spot where it is."""
    one = [{"type": "conv", "filters": 1, "kernel": 1}, {"type": "global_pool", "kind": "average"}]
    record, state = _make({"network": {"layers": one}, "augmentation": steps}, (30, 40, 1))
    state = {name: torch.ones_like(value) * name.endswith("weight") for name, value in state.items()}
    pixels = np.zeros((3, 30, 40, 1), np.uint8)
    spots = ((13, 22), (16, 18), (11, 20))
    for image, (row, column) in zip(pixels, spots, strict=True):
        image[row - 1 : row + 2, column - 1 : column + 2] = 255
    maps = GradCam(record, state).explain(pixels, CLASSES)
    rows, columns = np.indices((30, 40))
    for heat, spot in zip(maps, spots, strict=True):
        centre = [(heat * places).sum() / heat.sum() for places in (rows, columns)]
        np.testing.assert_allclose(centre, spot, atol=0.6)


def test_a_model_is_explained_by_its_own_weights() -> None:
    record, state = _make({"network": {"layers": POOLED}}, (10, 12, 3))
    model, pixels = Model(record, state, Folders(Path("nowhere"))), _draw((10, 12, 3), 3)
    assert model.has_maps
    np.testing.assert_array_equal(model.explain(pixels, CLASSES), GradCam(record, state).explain(pixels, CLASSES))
    assert model.explain(pixels[:0], CLASSES[:0]).shape == (0, 10, 12)
