"""Every image classifier of torchvision: the table against the installed registry, bodies against whole networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bakeoff.catalog.networks.outside import TORCHVISION, OutsideNetwork, find_outside
from bakeoff.catalog.networks.torchvision import CLASSIFIERS
from bakeoff.engine.fused.module_network import BODY
from bakeoff.engine.fused.modules import Body, build_body
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.engine.published import choose_weights
from bakeoff.engine.weights import fit_weights

NAMES = tuple(facts.name for facts in CLASSIFIERS)

SMALL = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t"),
    *("mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5"),
    *("squeezenet1_1", "swin_t", "vgg11_bn", "vit_b_32"),
)
"""The smallest of each family."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def _on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Build networks without memory; a RegNet computes its widths from real numbers."""
    import_torchvision()
    from torchvision.models.regnet import BlockParams

    compute = BlockParams.from_init_params

    def compute_really(*args: Any, **settings: Any) -> Any:
        with torch.device("cpu"):
            return compute(*args, **settings)

    monkeypatch.setattr(BlockParams, "from_init_params", compute_really)
    with torch.device("meta"):
        yield


def _build(name: str, side: int = 32) -> Body:
    return build_body(OutsideNetwork(name=f"{TORCHVISION}{name}"), (side, side, 3), seed=1)


def test_the_table_has_all_of_the_registry() -> None:
    models = import_torchvision().models
    assert tuple(models.list_models(module=models)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_table_says_what_the_registry_says(name: str) -> None:
    record, weights = find_outside(f"{TORCHVISION}{name}"), choose_weights(name)
    known, preset = record.pretrained, weights.transforms()
    assert known is not None
    assert (known.mean, known.sd) == (tuple(preset.mean), tuple(preset.std))
    assert known.size == (preset.crop_size[0], preset.crop_size[0])
    assert known.interpolation == preset.interpolation.value
    assert known.crop_ratio == preset.crop_size[0] / preset.resize_size[0]
    assert record.multiply_adds == pytest.approx(weights.meta["_ops"] * 1e9, abs=2e6)
    assert record.least_size == max(32, min(weights.meta["min_size"]))


@pytest.mark.usefixtures("_on_meta")
@pytest.mark.parametrize("name", NAMES)
def test_every_body_gives_its_features(name: str) -> None:
    record, body = find_outside(f"{TORCHVISION}{name}"), _build(name).train()
    assert body(torch.zeros(2, 3, 28, 28)).shape == (2, record.num_features)
    assert not [module for module in body.modules() if getattr(module, "out_features", 0) == 1_000]
    millions = sum(parameter.numel() for parameter in body.parameters()) / 1e6
    assert f"{millions:.1f} million parameters" in record.summary


def _run_head(whole: Any, features: Tensor) -> Tensor:
    """Return what a whole network's own last layer makes of features."""
    last = [module for module in whole.modules() if isinstance(module, nn.Linear)][-1]
    logits: Tensor = last(features)
    return logits


def _load_whole(name: str, body: Body) -> Any:
    quiet = {"aux_logits": False, "transform_input": True, "init_weights": False}
    settings = quiet if name in ("googlenet", "inception_v3") else {}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        whole = getattr(import_torchvision().models, name)(weights=None, **settings).eval()
    whole.load_state_dict(body.network.state_dict(), strict=False)
    return whole


@pytest.mark.parametrize("name", sorted({*SMALL} - {"alexnet", "squeezenet1_1", "vgg11_bn", "vit_b_32"}))
def test_the_published_head_on_the_features_is_the_whole_network(name: str) -> None:
    side = max(64, find_outside(f"{TORCHVISION}{name}").least_size)
    body = _build(name, side).eval()
    whole = _load_whole(name, body)
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(_run_head(whole, body(images)), whole(images))


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1"])
def test_where_the_head_is_no_layer_features_are_averaged_maps(name: str) -> None:
    body = _build(name, 64).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(body(images), body.network.features(images).mean((2, 3)))


@pytest.mark.usefixtures("_on_meta")
@pytest.mark.parametrize("name", SMALL)
def test_published_weights_fit_but_for_the_head(name: str) -> None:
    auxiliary = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    whole = getattr(import_torchvision().models, name)(weights=None, **auxiliary).state_dict()  # with auxiliary heads
    body = _build(name)
    taken = fit_weights(body.state(), whole, title="weights", network=name, tied=body.tied())
    assert taken.keys() == body.state().keys()
    assert not any(key.startswith(BODY) for key in taken)


@pytest.mark.parametrize(("name", "least"), [("alexnet", 63), ("inception_v3", 75)])
def test_smaller_images_than_the_least_would_fail(name: str, least: int) -> None:
    body = _build(name).eval()
    with torch.no_grad(), pytest.raises(RuntimeError):
        body.network(torch.zeros(2, 3, least - 1, least - 1))
