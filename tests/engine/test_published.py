"""Published weights: the programs of torchvision and timm, with the last step, the transfer of bytes, replaced."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.transfer import Transfer
from bakeoff.engine.fused.build import State
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import build_body
from bakeoff.engine.fused.vision import import_timm, import_torchvision
from bakeoff.engine.weights import load_weights
from bakeoff.errors import WeightsError
from bakeoff.workspace import Folders

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

RESNET = OutsideNetwork(name="torchvision:resnet18")
FRESH = InitializerChoice()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "workspace")


def draw_outside(network: OutsideNetwork, seed: int, num_classes: int = 3) -> State:
    body = build_body(network, (32, 32, 3), seed)
    return first_state(body, network.make_head(num_classes), FRESH, seed)


def assert_body_from(state: State, expected: dict[str, Tensor], drawn: State) -> None:
    """The body is as expected, the head as it was drawn."""
    for name, value in state.items():
        source = expected[name.removeprefix("body.")] if name.startswith("body.") else drawn[name]
        assert torch.equal(value, source), name
        assert value.dtype == drawn[name].dtype


class Marker:
    """Unpickling one would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name a DenseNet's layers as its published file does."""

    return {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value for name, value in state.items()}


@pytest.mark.parametrize(
    "name",
    [
        f"torchvision:{name}"
        for name in (
            *("mobilenet_v2", "mobilenet_v3_small", "densenet121", "resnet18", "inception_v3", "vgg16", "alexnet"),
            *("googlenet", "squeezenet1_1", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0", "maxvit_t"),
        )
    ],
)
def test_torchvisions_published_weights(
    name: str, cache: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, model = OutsideNetwork(name=name), name.removeprefix("torchvision:")
    published = {key: value.detach() for key, value in build_body(network, (32, 32, 3), seed=1).state().items()}
    heads = {f"{head}.weight": torch.zeros(2) for head in ("classifier.6", "fc", "AuxLogits.conv0.conv")}
    asked: list[tuple[str, str]] = []

    def download(url: str, path: str, hash_prefix: str | None = None, progress: bool = True) -> None:
        assert hash_prefix
        asked.append((url, path))
        torch.save(old_names({**heads, **published}), path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    drawn = {f"body.{key}": torch.zeros_like(value) for key, value in published.items()}
    drawn["head.0.weight"] = torch.zeros(1)
    loaded = load_weights(network, Transfer(weights="imagenet"), drawn, folders)
    assert_body_from(loaded, published, drawn)
    load_weights(network, Transfer(weights="imagenet"), drawn, folders)
    ((url, path),) = asked  # once: then it is in the cache
    assert url == import_torchvision().models.get_model_weights(model)["IMAGENET1K_V1"].url
    assert Path(path).parent == cache / "weights"


def test_published_weights_are_not_unpickled(cache: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = cache.parent / "ran"
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, path, *rest, **more: torch.save({"x": Marker(marker)}, path)
    )
    with pytest.raises(WeightsError, match="torchvision:resnet18"):
        load_weights(RESNET, Transfer(weights="imagenet"), draw_outside(RESNET, 5), folders)
    assert not marker.exists()


def test_offline_is_one_line(cache: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **more: object) -> None:
        raise URLError("[Errno -2] Name or service\nnot known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(WeightsError) as caught:
        load_weights(RESNET, Transfer(weights="imagenet"), draw_outside(RESNET, 5), folders)
    message = str(caught.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert "weights: {file: PATH}" in message
    assert "\n" not in message


def test_timms_published_weights(cache: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = import_timm()
    network = OutsideNetwork(name="timm:test_resnet.r160_in1k")
    torch.manual_seed(1)
    published = timm.create_model("test_resnet", pretrained=False).state_dict()
    asked: list[object] = []

    def fetch(address: object, *rest: object, **more: object) -> dict[str, Tensor]:
        asked.append(address)
        return dict(published)

    for name in ("load_state_dict_from_url", "load_state_dict_from_hf"):
        monkeypatch.setattr(f"timm.models._builder.{name}", fetch)
    monkeypatch.setattr("timm.models._builder.has_hf_hub", lambda necessary=False: True)
    drawn = draw_outside(network, 5)
    loaded = load_weights(network, Transfer(weights="imagenet"), drawn, folders)
    assert_body_from(loaded, published, drawn)
    assert asked


def test_a_timm_network_nobody_trained(cache: Path, folders: Folders) -> None:
    timm = import_timm()
    untrained = next(n for n in timm.list_models("efficientnet*") if not timm.get_pretrained_cfg(n).has_weights)
    network = OutsideNetwork(name=f"timm:{untrained}")
    with pytest.raises(WeightsError, match=f"no weights for {untrained}"):
        load_weights(network, Transfer(weights="imagenet"), {}, folders)
